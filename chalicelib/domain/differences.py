"""What an audit finds: books come in, every difference between what should be and what is goes out (reliability §3)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from chalicelib.contract.agent_api import Held
from chalicelib.contract.statuses import Status
from chalicelib.domain.books import Books
from chalicelib.domain.container import Container
from chalicelib.domain.host import Reserved

SETTLE_SECONDS = 2.0
"""Books are not read in one instant: what is wrong without an age must be so again after this long."""

SWEEP_SECONDS = 130.0
"""A sweep each minute, a command sent, an event applied."""

DELETE_SECONDS = 150.0
"""A removal ends within 30 s on a healthy host, and with the lease of a lost one."""

CONFIRM_SECONDS = 900.0
"""A host is asked for eight minutes, and then the change is given up."""

RUNNING_SECONDS, LOST_SECONDS = 15.0, 120.0
"""I4: how long a record may say `running` with nothing behind it, on a healthy host and on a lost one."""

ORPHAN_SECONDS = 360.0
"""I3: how long an engine container may be there without a record."""

FADE_SECONDS = 48 * 3600.0
"""Expired rows are removed by the store in its own time; they are not read meanwhile."""

LOG_KEPT = timedelta(days=90)
"""The beginning of a log older than this may have faded."""


class Kind(StrEnum):
    """What differs."""

    COUNTER = "counter"
    NAME = "name"
    RESERVATION = "reservation"
    ORPHAN = "orphan"
    NOT_RUNNING = "not running"
    STILL_RUNNING = "still running"
    UNFINISHED = "unfinished"
    OVERSTAYED = "overstayed"
    CONNECTION = "connection"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be."""

    kind: Kind
    ids: tuple[str, ...]
    """User, container, host or connection ids, and names."""
    expected: str
    found: str
    bound: float
    """Seconds that it may last."""
    age: float | None = None
    """Seconds that it has lasted at least; None when nothing tells."""

    @property
    def young(self) -> bool:
        """Whether it is known to be within its time."""
        return self.age is not None and self.age < self.bound


def differences(books: Books) -> list[Difference]:
    """Every difference, by kind."""
    return [each for compare in _COMPARISONS for each in compare(books)]


def reserved_by(records: tuple[Container, ...], host_id: str) -> Reserved:
    """What the records of a host hold of it."""
    held = [record.resources for record in records if record.reserved and record.host_id == host_id]
    return Reserved(
        memory_mb=sum(each.memory_mb for each in held),
        cpu_shares=sum(each.cpu_shares for each in held),
        disk_mb=sum(each.disk_mb for each in held),
        containers=len(held),
    )


def _counters(books: Books) -> Iterator[Difference]:
    counted = books.counters or {}
    live = Counter(record.user_id for record in books.records if record.live)
    for user_id in sorted({*counted, *live}):
        expected, found = live[user_id], counted.get(user_id, 0)
        if expected != found:
            yield Difference(Kind.COUNTER, (user_id,), f"{expected} live", f"{found} counted", SETTLE_SECONDS)


def _names(books: Books) -> Iterator[Difference]:
    rows = {(row.user_id, row.name): row.container_id for row in books.names}
    live = {record.id: record for record in books.records if record.live}
    for record in live.values():
        holder = rows.get((record.user_id, record.name))
        if holder != record.id:
            ids = (record.user_id, record.name, record.id)
            yield Difference(Kind.NAME, ids, "a row naming it", f"a row naming {holder}", SETTLE_SECONDS)
    for row in books.names:
        holder_record = live.get(row.container_id)
        if holder_record is None or (holder_record.user_id, holder_record.name) != (row.user_id, row.name):
            ids = (row.user_id, row.name, row.container_id)
            yield Difference(Kind.NAME, ids, "no row", "a row of no live container", SETTLE_SECONDS)


def _reservations(books: Books) -> Iterator[Difference]:
    for host in books.hosts:
        expected = reserved_by(books.records, host.id)
        if host.reserved != expected:
            yield Difference(Kind.RESERVATION, (host.id,), _amounts(expected), _amounts(host.reserved), SETTLE_SECONDS)
    for record in books.records:
        if record.reserved != _should_hold(record):
            expected_text, found = ("room held", "none") if _should_hold(record) else ("no room held", "some")
            yield Difference(Kind.RESERVATION, (record.id, str(record.host_id)), expected_text, found, SETTLE_SECONDS)


def _should_hold(record: Container) -> bool:
    """A placed record holds room until it failed or is gone; one that failed may still be being deleted."""
    if record.status is Status.DELETING:
        return record.reserved
    return record.host_id is not None and record.status not in (Status.ERROR, Status.DELETED)


def _engine_containers(books: Books) -> Iterator[Difference]:
    """Engine containers without a record that names this host and generation (I2, I3)."""
    records = {record.id: record for record in books.records}
    changed = {entry.container_id: entry.at for entry in sorted(books.entries, key=lambda each: each.seq)}
    for host_id, containers in sorted((books.holdings or {}).items()):
        for held in containers:
            record = records.get(held.container_id)
            ids = (held.container_id, host_id, f"generation {held.generation}")
            if record is None or not _wanted(record, held, host_id):
                found = "no record" if record is None else _place(record)
                since = (books.at - changed.get(held.container_id, datetime.min.replace(tzinfo=UTC))).total_seconds()
                age = min(held.age_seconds, since)
                yield Difference(Kind.ORPHAN, ids, "a live record here", found, ORPHAN_SECONDS, age)
            elif record.status is Status.STOPPED and held.running:
                yield Difference(Kind.STILL_RUNNING, ids, "stopped", "running on its engine", RUNNING_SECONDS)


def _wanted(record: Container, held: Held, host_id: str) -> bool:
    here = (record.host_id, record.generation) == (host_id, held.generation)
    return here and record.status not in (Status.ERROR, Status.DELETED)


def _running(books: Books) -> Iterator[Difference]:
    """Records that say `running` with no running engine container behind them (I4)."""
    hosts = {host.id: host for host in books.hosts}
    holdings = books.holdings or {}
    for record in books.records:
        if record.status is not Status.RUNNING:
            continue
        host = hosts.get(record.host_id or "")
        ids = (record.id, str(record.host_id))
        if host is None or host.received_at is None or host.silent(books.at):
            silence = (books.at - host.received_at).total_seconds() if host and host.received_at else LOST_SECONDS
            yield Difference(Kind.NOT_RUNNING, ids, "a host that is heard of", "a lost host", LOST_SECONDS, silence)
        elif host.id in holdings and not _runs(record, holdings[host.id]):
            yield Difference(Kind.NOT_RUNNING, ids, "running on its engine", "not running", RUNNING_SECONDS)


def _runs(record: Container, containers: tuple[Held, ...]) -> bool:
    wanted = (record.id, record.generation, True)
    return any((held.container_id, held.generation, held.running) == wanted for held in containers)


def _unfinished(books: Books) -> Iterator[Difference]:
    """Records on their way somewhere; each has to arrive (I1, I13, I20)."""
    for record in books.records:
        if record.status is Status.CREATING:
            age = (books.at - record.created_at).total_seconds()
            bound = (record.deadline - record.created_at).total_seconds() + SWEEP_SECONDS
            yield Difference(Kind.UNFINISHED, (record.id,), "running or error", "creating", bound, age)
        elif record.status is Status.DELETING:
            age = (books.at - _asked_since(record)).total_seconds()
            yield Difference(Kind.UNFINISHED, (record.id,), "deleted", "deleting", DELETE_SECONDS, age)
        elif record.live:
            yield from _overstayed(record, books.at)
            yield from _unconfirmed(record, books.at)


def _overstayed(record: Container, at: datetime) -> Iterator[Difference]:
    ends = record.due_at if record.status is Status.ERROR else record.expires_at
    if ends is not None and at > ends:
        age = (at - ends).total_seconds()
        yield Difference(Kind.OVERSTAYED, (record.id,), "deleted", record.status.value, SWEEP_SECONDS, age)


def _unconfirmed(record: Container, at: datetime) -> Iterator[Difference]:
    """A start, stop, resize or rename that its host has not confirmed is asked for again, and given up in time."""
    if record.pending:
        age = (at - _asked_since(record)).total_seconds()
        yield Difference(Kind.UNFINISHED, (record.id,), "confirmed by its host", "waiting", CONFIRM_SECONDS, age)


def _asked_since(record: Container) -> datetime:
    """About when it was asked for: the sweeper puts it off by 15 s, and twice as long each further time."""
    due = record.due_at or record.last_used_at
    return due - timedelta(seconds=15 * (2.0**record.attempt - 1))


def _connections(books: Books) -> Iterator[Difference]:
    for connection in books.connections:
        age = (books.at - connection.expires_at).total_seconds()
        if age > 0:
            ids = (connection.id, connection.user_id)
            yield Difference(Kind.CONNECTION, ids, "no row", "an expired row", FADE_SECONDS, age)


def _logs(books: Books) -> Iterator[Difference]:
    """Every frame a record has numbered is in its log, once each (I9)."""
    logs: dict[str, list[int]] = defaultdict(list)
    for entry in books.entries:
        logs[entry.container_id].append(entry.seq)
    for record in books.records:
        found = sorted(logs[record.id])
        old = books.at - record.created_at > LOG_KEPT
        first = found[0] if old and found else 1
        if found != list(range(first, record.seq + 1)):
            missing = sorted(set(range(first, record.seq + 1)) - set(found))
            text = f"without {missing[:5]}" if missing else f"up to {found[-1]}"
            yield Difference(Kind.LOG, (record.id,), f"{first}..{record.seq}", text, SETTLE_SECONDS)


def _amounts(held: Reserved) -> str:
    return f"{held.containers} containers, {held.memory_mb} MiB, {held.cpu_shares} CPU, {held.disk_mb} MiB disk"


def _place(record: Container) -> str:
    return f"{record.status} on {record.host_id}, generation {record.generation}"


_COMPARISONS = (_counters, _names, _reservations, _engine_containers, _running, _unfinished, _connections, _logs)
