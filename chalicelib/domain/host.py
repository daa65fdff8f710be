"""A Docker host as the control plane sees it: reports and reservations come in, room and fitness go out."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from chalicelib.contract.agent_api import HostReport
from chalicelib.contract.resources import Resources

LEASE = timedelta(seconds=60)
"""A host not heard of for this long takes no containers (M10)."""

FAILING = timedelta(minutes=5)
"""A host that refused a container, or did not answer, is the last choice for this long."""


IMAGES_TEXT = 200
"""Characters of image names kept of a report: with them a host's row is still one write unit, six times a minute."""


def brief(report: HostReport) -> HostReport:
    """The report with as many images as are kept, short names first, which the catalogue's are; they are but hints."""
    kept: list[str] = []
    room = IMAGES_TEXT
    for image in sorted(report.images, key=len):
        room -= len(image) + 3
        if room < 0:
            break
        kept.append(image)
    return report.model_copy(update={"images": sorted(kept)})


class Reserved(BaseModel):
    """What placed containers hold of a host."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    memory_mb: int = 0
    cpu_shares: int = 0
    disk_mb: int = 0
    containers: int = 0


class Host(BaseModel):
    """An enrolled host; `report` and `received_at` are None until its first heartbeat."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    id: str
    public_key: str
    report: HostReport | None = None
    received_at: datetime | None = None
    reserved: Reserved = Reserved()
    draining: bool = False
    """True while its operator wants no more containers on it."""
    failed_at: datetime | None = None
    """When it last refused a container or did not answer."""

    def takes(self, wanted: Resources, now: datetime, *, any_disk: bool = False) -> bool:
        """Whether a container of this size may be placed here now; with `any_disk` also where its disk has no limit."""
        return self.placeable(now) and self.room_for(wanted) and (any_disk or self.disk_limited)

    @property
    def disk_limited(self) -> bool:
        """Whether a container here cannot write more than it was granted."""
        return self.report is not None and self.report.disk_limited

    def placeable(self, now: datetime) -> bool:
        """Whether it is alive, with its engine up, and not draining."""
        if self.report is None or self.received_at is None or now - self.received_at > LEASE:
            return False
        return self.report.engine_up and not self.report.draining and not self.draining

    def has(self, image: str) -> bool:
        """Whether its engine has the image, so that nothing is pulled; without a tag it means `latest`."""
        return self.report is not None and not {image, f"{image}:latest"}.isdisjoint(self.report.images)

    def runs(self, runtime: str | None) -> bool:
        """Whether its engine has the runtime; None is its default, whatever that is."""
        return runtime is None or (self.report is not None and runtime in self.report.runtimes)

    def silent(self, now: datetime) -> bool:
        """Whether its lease has run out; one that never reported has none."""
        return self.received_at is not None and now - self.received_at > LEASE

    def failing(self, now: datetime) -> bool:
        """Whether it failed someone only just now."""
        return self.failed_at is not None and now - self.failed_at < FAILING

    def room_for(self, wanted: Resources) -> bool:
        """Whether the reservation would fit."""
        offer, held = self.report, self.reserved
        return (
            offer is not None
            and held.memory_mb + wanted.memory_mb <= offer.memory_mb
            and held.cpu_shares + wanted.cpu_shares <= offer.cpu_shares
            and held.disk_mb + wanted.disk_mb <= offer.disk_mb
            and held.containers < offer.max_containers
        )

    @property
    def fullness(self) -> float:
        """The largest reserved share of anything offered, 0 to 1."""
        offer, held = self.report, self.reserved
        if offer is None:
            return 1.0
        return max(
            held.memory_mb / max(offer.memory_mb, 1),
            held.cpu_shares / max(offer.cpu_shares, 1),
            held.disk_mb / max(offer.disk_mb, 1),
            held.containers / max(offer.max_containers, 1),
        )
