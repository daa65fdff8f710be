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
_KEYS = 2
"""Of a container: its own, and its network namespace's."""
_SPARE_KEYS = 40
"""For what is started ahead and being built."""
_UNKNOWN_DISK_MB = 100_000


@dataclass(frozen=True, slots=True)
class Offer:
    """The fixed part of a host's reports."""

    endpoint: str
    facts: EngineFacts
    disk_mb: int
    """Room for containers when the agent started, as often as the host gives it away; what is reserved of it the
    control plane counts itself."""
    development: bool
    disk_limited: bool
    warm_memory_mb: int = 0
    """Kept back for containers started ahead."""

    @property
    def max_containers(self) -> int:
        """By the machine's process numbers, of which each container may use all of its own; and by keys.

        The runtime makes a keyring for each container. With users remapped all are of one user, who is not root and may
        have `kernel.keys.maxkeys` of them: 200, unless the host has raised it.
        """
        by_pids = (_number("kernel/pid_max", 32768) - _SYSTEM_PIDS) // PIDS
        by_keys = (_number("kernel/keys/maxkeys", 200) - _SPARE_KEYS) // _KEYS
        return max(1, min(by_pids, by_keys) if self.facts.remapped else by_pids)

    def report(self, images: list[str], *, engine_up: bool, draining: bool, containers: int) -> HostReport:
        """The report as of now."""
        facts = self.facts
        left = max(facts.memory_mb - SYSTEM_MEMORY_MB, int(facts.memory_mb * SMALL_HOST_SHARE))
        return HostReport(
            endpoint=self.endpoint,
            memory_mb=max(min(left, facts.memory_mb) - self.warm_memory_mb, 0),
            cpu_shares=facts.cores * 1000 * CPU_OVERCOMMIT,
            disk_mb=self.disk_mb,
            disk_limited=self.disk_limited,
            max_containers=self.max_containers,
            images=images,
            runtimes=list(facts.runtimes),
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


def disk_room_mb(folder: Path) -> int:
    """Room on the engine's disk now, MiB, keeping some back for the host."""
    if not folder.exists():
        return _UNKNOWN_DISK_MB
    usage = shutil.disk_usage(folder)
    return int(usage.free * DISK_SHARE) // (1024 * 1024)


def _number(setting: str, unknown: int) -> int:
    """A setting of the kernel's."""
    path = Path("/proc/sys") / setting
    return int(path.read_text()) if path.exists() else unknown
