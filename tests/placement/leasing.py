"""Leases and sweeper on the simulated fleet: seconds pass, the real services run on their schedule, figures go out.

Their clock is the simulation's: while they sleep, or their sending takes its time, containers come and go.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from chalicelib.contract.commands import Create
from chalicelib.contract.statuses import Status
from chalicelib.services.leases import Leases
from chalicelib.services.sweep import Sweep
from chalicelib.wiring import LEASES_WIDTH
from tests.placement.fleet import Fleet
from tests.placement.rows import HostRow, Machine, Record

EVERY = 60
"""Seconds between two runs: the finest schedule there is."""

WATCH = 40
"""`BERTH_SWEEP_SECONDS` as deployed."""

RECORD_SECONDS = 0.020
"""To read a record and send its event, one after the other."""

A_SECOND = round(LEASES_WIDTH / RECORD_SECONDS)
"""Records that leases get through in a second."""


class Leasing:
    """The ports of `Leases` and `Sweep` over a fleet, and what they did with them."""

    def __init__(self, fleet: Fleet, step: Callable[[], None]) -> None:
        self.fleet = fleet
        self._step = step
        self.writes_of_host: Counter[tuple[int, str]] = Counter()
        self.writes_of_group: Counter[tuple[int, int]] = Counter()
        self.writes: Counter[int] = Counter()
        self.ended = 0
        self.wrongly = 0
        """Ended though their host lived (I15)."""
        self.due_reads = 0
        self.swept = 0
        self.overdue = 0
        self._due: list[tuple[datetime, int, Record]] = []
        self._rack: list[Machine] = []
        self.rack_at = 0
        self.rack_records = 0
        self.settled_at: int | None = None
        self._records: dict[str, Record] = {}
        self._told = 0
        self._running = False
        ports: Any = self
        self._leases = Leases(ports, ports, ports, ports)
        self._sweep = Sweep(ports, ports, ports, ports)

    def rack_dies(self, rack: list[Machine]) -> None:
        for machine in rack:
            machine.alive = False
        self._rack, self.rack_at = rack, self.fleet.second
        self.rack_records = sum(len(machine.records) for machine in rack)

    def tick(self) -> None:
        """A second has passed; a run begins when its minute has come and none lasts still."""
        if self._rack and self.settled_at is None and not any(machine.records for machine in self._rack):
            self.settled_at = self.fleet.second
        if self._running or self.fleet.second % EVERY:
            return
        self._running = True
        self.swept += self._sweep.run()
        self._leases.run(WATCH)
        self._running = False

    def waits(self, record: Record) -> None:
        """Nobody knows yet whether its host has it: the sweeper will look."""
        record.status = Status.CREATING
        record.deadline = self.fleet.now + timedelta(seconds=170)
        record.due_at = self.fleet.now + timedelta(seconds=15)
        heapq.heappush(self._due, (record.due_at, record.number, record))

    @staticmethod
    def is_up(record: Record) -> None:
        """Its host has said so."""
        record.status, record.due_at, record.deadline = Status.RUNNING, None, None

    def now(self) -> datetime:
        """`ports.Clock`."""
        return self.fleet.now

    def sleep(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self._step()

    def candidates(self) -> list[HostRow]:
        """`ports.HostStore`."""
        return self.fleet.whole_view()

    def on_host(self, host_id: str, limit: int) -> list[Record]:
        """`ports.ContainerStore`."""
        found = []
        for record in self.fleet.by_id[host_id].records:
            if len(found) == limit:
                break
            found.append(record)
        self._records = {record.id: record for record in found}
        return found

    def get(self, key: str, container_id: str | None = None) -> HostRow | Record:
        """`ports.HostStore` and `ports.ContainerStore`."""
        return self.fleet.by_id[key].row if container_id is None else self._records[container_id]

    def due(self, before: datetime, limit: int) -> list[Record]:
        """From an index of nothing but what is due some time: what is due now is read and no more."""
        found: list[Record] = []
        while self._due and self._due[0][0] <= before and len(found) < limit:
            due_at, _, record = heapq.heappop(self._due)
            if record.due_at == due_at:  # else it has left the index
                found.append(record)
        self.due_reads += len(found)
        self._records = {record.id: record for record in found}
        return found

    def postpone(self, record: Record, due_at: datetime, attempt: int) -> Record:
        record.due_at, record.attempt = due_at, attempt
        heapq.heappush(self._due, (due_at, record.number, record))
        return record

    def send(self, message: Any, attempt: int) -> None:
        """`ports.CommandQueue` and `ports.EventQueue`: both are carried out at once."""
        record = self._records[message.container_id]
        if isinstance(message, Create):
            if record.machine is not None and record.machine.alive:
                self.is_up(record)
            return
        machine = record.machine
        if machine is None:
            return
        overdue = record.deadline is not None and self.fleet.now >= record.deadline
        self.overdue += overdue
        self.wrongly += machine.alive and not overdue
        record.status, record.due_at = Status.ERROR, None
        self.fleet.free(record)
        self.ended += 1
        self._written(machine)

    def _written(self, machine: Machine) -> None:
        second = self.fleet.second
        self.writes_of_host[second, machine.row.id] += 1
        self.writes_of_group[second, machine.row.group] += 1
        self.writes[second] += 1
        self._told += 1
        if self._told % A_SECOND == 0:
            self._step()
