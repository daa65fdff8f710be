"""Light rows: plain attributes come in, the real rules of `domain.host` judge them.

Pydantic's frozen copies cost more than the rules themselves; a million of them would be most of the simulation.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.host import Host


@dataclass(slots=True)
class Offer:
    """The part of a host's report that placement reads."""

    memory_mb: int
    cpu_shares: int
    disk_mb: int
    max_containers: int
    images: set[str]
    disk_limited: bool = True
    engine_up: bool = True
    draining: bool = False


@dataclass(slots=True)
class Held:
    """`domain.host.Reserved` that can be changed in place."""

    memory_mb: int = 0
    cpu_shares: int = 0
    disk_mb: int = 0
    containers: int = 0

    def add(self, wanted: Resources, sign: int) -> None:
        self.memory_mb += sign * wanted.memory_mb
        self.cpu_shares += sign * wanted.cpu_shares
        self.disk_mb += sign * wanted.disk_mb
        self.containers += sign


class HostRow:
    """A host's row, with the real `Host`'s own functions on it."""

    __slots__ = ("draining", "failed_at", "group", "id", "received_at", "report", "reserved", "view")

    takes = Host.takes
    runs = Host.runs
    placeable = Host.placeable
    silent = Host.silent
    failing = Host.failing
    room_for = Host.room_for
    fullness = Host.fullness
    disk_limited = Host.disk_limited

    def __init__(self, host_id: str, group: int, offer: Offer, now: datetime) -> None:
        self.id = host_id
        self.group = group
        self.report = offer
        self.received_at = now
        self.reserved = Held()
        self.draining = False
        self.failed_at: datetime | None = None

    def copied_from(self, row: "HostRow") -> None:
        """Become what the row is now, as the index does after its lag."""
        self.received_at, self.draining, self.failed_at = row.received_at, row.draining, row.failed_at
        mine, held = self.reserved, row.reserved
        mine.memory_mb, mine.cpu_shares = held.memory_mb, held.cpu_shares
        mine.disk_mb, mine.containers = held.disk_mb, held.containers


class Machine:
    """What is behind a host's row: whether it lives, what it tells the truth about, and what it runs."""

    __slots__ = ("alive", "believes_mb", "records", "row", "slow", "view")

    def __init__(self, row: HostRow, view: HostRow) -> None:
        self.row = row
        self.view = view
        self.alive = True
        self.slow = False
        self.believes_mb = row.report.memory_mb
        """What it really has; one that lies offers more."""
        self.records: dict[Record, None] = {}


@dataclass(slots=True, eq=False)
class Record:
    """A container's record, as far as leases and sweeper look at it."""

    number: int
    wanted: Resources
    image: str
    ends: int
    machine: Machine | None = None
    status: Status = Status.RUNNING
    generation: int = 1
    version: int = 1
    attempt: int = 0
    deadline: datetime | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = field(default=None, init=False)
    user_id: str = field(default="user", init=False)

    look_at = Container.look_at

    def __getattr__(self, name: str) -> Any:
        """What the simulation gives no meaning is as in a new record."""
        if name not in Container.model_fields:
            raise AttributeError(name)
        return Container.model_fields[name].get_default(call_default_factory=True)

    @property
    def host_id(self) -> str | None:
        return self.machine and self.machine.row.id

    @property
    def id(self) -> str:
        return f"container-{self.number}"
