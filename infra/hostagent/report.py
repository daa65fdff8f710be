"""What the host offers: the engine's facts come in, a host report goes out (reliability §5.4)."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from chalicelib.contract.agent_api import HostReport
from infra.hostagent.ports import EngineFacts
from infra.hostagent.profile import PIDS

VERSION = "0.1.0"
FLOOR = (29, 5, 1)
"""Engines below have known ways out of a container (reliability §4.3)."""

CPU_OVERCOMMIT = 8
SYSTEM_MEMORY_MB = 4096
SMALL_HOST_SHARE = 0.75
DISK_SHARE = 0.85
_SYSTEM_PIDS = 2000
_UNKNOWN_DISK_MB = 100_000


@dataclass(frozen=True, slots=True)
class Offer:
    """The fixed part of a host's reports."""

    endpoint: str
    facts: EngineFacts
    disk_mb: int
    """Room for containers when the agent started; what is reserved of it the control plane counts itself."""
    development: bool

    @property
    def max_containers(self) -> int:
        """By the machine's process numbers: each container may use all of its own."""
        return max(1, (_pid_max() - _SYSTEM_PIDS) // PIDS)

    def report(self, images: list[str], *, engine_up: bool, draining: bool, containers: int) -> HostReport:
        """The report as of now."""
        facts = self.facts
        left = max(facts.memory_mb - SYSTEM_MEMORY_MB, int(facts.memory_mb * SMALL_HOST_SHARE))
        return HostReport(
            endpoint=self.endpoint,
            memory_mb=min(left, facts.memory_mb),
            cpu_shares=facts.cores * 1000 * CPU_OVERCOMMIT,
            disk_mb=self.disk_mb,
            max_containers=self.max_containers,
            images=images,
            engine_version=facts.version,
            kernel_version=facts.kernel,
            agent_version=VERSION,
            development=self.development,
            draining=draining,
            engine_up=engine_up,
            containers=containers,
        )


def below_floor(version: str) -> bool:
    """Whether an engine of this version is too old to be trusted with strangers' programs."""
    numbers = []
    for part in version.split("+")[0].split(".")[:3]:
        digits = "".join(character for character in part if character.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers) < FLOOR


def disk_room_mb(data_root: str) -> int:
    """Room on the engine's disk now, MiB, keeping some back for the host."""
    folder = Path(data_root)
    if not folder.exists():
        return _UNKNOWN_DISK_MB
    usage = shutil.disk_usage(folder)
    return int(usage.free * DISK_SHARE) // (1024 * 1024)


def _pid_max() -> int:
    path = Path("/proc/sys/kernel/pid_max")
    return int(path.read_text()) if path.exists() else 32768
