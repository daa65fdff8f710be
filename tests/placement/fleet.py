"""The fleet: hosts with good and bad states come in, a stale view of them and their conditional rows go out.

What it does, it does as the adapters do: a view lags behind its rows (an eventually consistent index), a reservation
looks at the row itself, a lease is renewed by whoever hears the beat.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from chalicelib.contract.resources import Resources
from tests.placement.rows import HostRow, Machine, Offer, Record

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BEAT_SECONDS = 10
VIEW_LAG_SECONDS = 5
HOSTS_PER_GROUP = 64
IMAGES = tuple(f"image-{number}" for number in range(20))
OFFER = {"memory_mb": 61_440, "cpu_shares": 128_000, "disk_mb": 250_000, "max_containers": 250}
"""64 GiB and 16 cores, less what the host keeps, as the agent reckons it."""


@dataclass(frozen=True)
class Shares:
    """How many hosts are in which bad state from the beginning."""

    slow: float = 0.01
    lying: float = 0.01
    cold: float = 0.10


class Fleet:
    """Hosts, the groups in which they are read, and the time."""

    def __init__(self, hosts: int, seed: int, shares: Shares | None = None) -> None:
        self.random = Random(seed)
        self.second = 0
        self.now = BEGIN
        self.blind = False
        """While no beat is heard and no view is renewed."""
        shares = shares or Shares()
        count = max(1, -(-hosts // HOSTS_PER_GROUP))
        self.machines = [self._machine(number, count, shares) for number in range(hosts)]
        self.by_id = {machine.row.id: machine for machine in self.machines}
        self.groups: list[list[Machine]] = [[] for _ in range(count)]
        for machine in self.machines:
            self.groups[machine.row.group].append(machine)
        self.views = [[machine.view for machine in group] for group in self.groups]
        self._viewed = [-VIEW_LAG_SECONDS] * count
        self.reads = 0
        self.beats = 0

    def _machine(self, number: int, groups: int, shares: Shares) -> Machine:
        host_id = f"host-{number:05d}"
        group = zlib.crc32(host_id.encode()) % groups
        draw = self.random.random
        warm = set() if draw() < shares.cold else {image for image in IMAGES if draw() < 0.7}
        offer = Offer(images=warm, **OFFER)
        machine = Machine(HostRow(host_id, group, offer, BEGIN), HostRow(host_id, group, offer, BEGIN))
        machine.slow = draw() < shares.slow
        if draw() < shares.lying:
            machine.believes_mb //= 2
        return machine

    def tick(self) -> None:
        """A second passes; every tenth host beats."""
        self.second += 1
        self.now = BEGIN + timedelta(seconds=self.second)
        if self.blind:
            return
        for machine in self.machines[self.second % BEAT_SECONDS :: BEAT_SECONDS]:
            if machine.alive:
                machine.row.received_at = self.now
                self.beats += 1

    def choice(self, upto: int) -> int:
        return int(self.random.random() * upto)

    def samples(self, choice: Callable[[int], int]) -> Iterator[list[HostRow]]:
        """`ports.HostStore.samples` of the view."""
        left = list(range(len(self.views)))
        while left:
            number = left.pop(choice(len(left)))
            self.reads += 1
            yield self._view(number)

    def _view(self, number: int) -> list[HostRow]:
        if not self.blind and self.second - self._viewed[number] >= VIEW_LAG_SECONDS:
            self._viewed[number] = self.second
            for machine in self.groups[number]:
                machine.view.copied_from(machine.row)
        return self.views[number]

    def whole_view(self) -> list[HostRow]:
        """`ports.HostStore.candidates`."""
        return [host for number in range(len(self.views)) for host in self._view(number)]

    def hold(self, machine: Machine, wanted: Resources) -> bool:
        """The conditional write: whether the row itself, as of now, takes it; then it is held."""
        if not machine.row.takes(wanted, self.now):
            return False
        machine.row.reserved.add(wanted, 1)
        return True

    def free(self, record: Record) -> None:
        """Give back what a record holds."""
        if record.machine is not None:
            record.machine.row.reserved.add(record.wanted, -1)
            del record.machine.records[record]
            record.machine = None

    def fullnesses(self) -> list[float]:
        """Of the hosts that take containers and have not just failed somebody, sorted."""
        rows = (each.row for each in self.machines)
        return sorted(row.fullness for row in rows if row.placeable(self.now) and not row.failing(self.now))

    @property
    def overfull(self) -> int:
        """Hosts with more reserved than they offer."""
        return sum(each.row.fullness > 1.0 for each in self.machines)
