"""A disk in memory that enforces: whose limit is in force is written down, and that it was there at every start."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from infra.hostagent.profile import Profile
from infra.hostagent.quotas.disk import Gauge


@dataclass
class MemoryDisk:
    """`disk.Disk`; `limits` are megabytes by the engine's id of a container."""

    enforced: bool = True
    limits: dict[str, int] = field(default_factory=dict)
    sweeps: int = 0
    held: dict[str, int] = field(default_factory=dict)
    """Bytes that a container has written."""

    def told(self, profile: Profile, disk_mb: int) -> Profile:
        return replace(profile, host_config=profile.host_config | {"disk_mb": disk_mb})

    @contextmanager
    def limited(self, engine_id: str, disk_mb: int) -> Iterator[None]:
        self.limits[engine_id] = disk_mb
        yield

    def gauge(self, engine_id: str) -> Gauge:
        return lambda: self.held.get(engine_id, 0) if self.enforced else None

    def sweep(self) -> None:
        self.sweeps += 1
