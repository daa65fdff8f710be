"""Everything recorded and everything hosts hold, compared: books come in from the ledger, a report goes out.

Nothing of this should ever be found: each mending is told of as a defect.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chalicelib.contract.agent_api import Held
from chalicelib.domain.books import Books, NameRow
from chalicelib.domain.container import Container
from chalicelib.domain.differences import Difference, Kind, differences, reserved_by
from chalicelib.domain.errors import AgentRefused, AgentUnreachable, StaleWrite
from chalicelib.domain.host import Host
from chalicelib.ports import Agents, Clock, Ledger, Metrics

log = logging.getLogger("berth.audit")


@dataclass(frozen=True, slots=True)
class Report:
    """What one audit found: `young` differences may still pass by themselves, `defects` will not."""

    defects: tuple[Difference, ...]
    young: tuple[Difference, ...]
    unseen: tuple[str, ...]
    """Hosts that did not answer: what they hold was not compared."""
    counts: dict[str, int]
    """How much was compared, by what it is."""
    mended: tuple[Difference, ...] = ()

    def measure(self, metrics: Metrics) -> None:
        """Count what was found and what was mended, by kind, so that an alarm can be set on it."""
        for difference in self.defects:
            metrics.count("AuditDefects", kind=difference.kind)
        for difference in self.mended:
            metrics.count("AuditRepairs", kind=difference.kind)
        metrics.count("Audits")
        metrics.flush()


def _told(difference: Difference) -> None:
    """A mended difference is a defect of ours: somebody has to look for its cause."""
    log.error("difference mended", extra={"difference": difference.kind, "ids": list(difference.ids)})


@dataclass(frozen=True, slots=True)
class Audit:
    """Compare, and mend what is only counted wrong."""

    ledger: Ledger
    agents: Agents
    clock: Clock
    told: Callable[[Difference], None] = field(default=_told)
    """Hears of every difference that was mended."""

    def run(self, *, repair: bool = False) -> Report:
        """One audit. What has no age is looked at again after its time, and counts only when it is so again."""
        books = self.books()
        found = differences(books)
        doubtful = [each for each in found if each.age is None]
        if doubtful:
            self.clock.sleep(max(each.bound for each in doubtful))
            books = self.books()
            found = [each for each in differences(books) if each.age is not None or each in doubtful]
        defects = [each for each in found if not each.young]
        mended = [each for each in defects if self._mended(each, books)] if repair else []
        return Report(
            defects=tuple(each for each in defects if each not in mended),
            young=tuple(each for each in found if each.young),
            unseen=books.unseen,
            counts=_counts(books),
            mended=tuple(mended),
        )

    def books(self) -> Books:
        """Everything as of now: what hosts hold is asked for before the records that should explain it are read."""
        at = self.clock.now()
        hosts = self.ledger.hosts()
        holdings = {host.id: held for host in hosts if (held := self._held(host)) is not None}
        return Books(
            at=at,
            records=tuple(self.ledger.records()),
            names=tuple(self.ledger.names()),
            counters=self.ledger.counters(),
            hosts=tuple(self.ledger.hosts()),
            connections=tuple(self.ledger.connections()),
            entries=tuple(self.ledger.entries()),
            holdings=holdings,
        )

    def _held(self, host: Host) -> tuple[Held, ...] | None:
        try:
            return tuple(self.agents.holdings(host).containers)
        except (AgentRefused, AgentUnreachable):
            return None

    def _mended(self, difference: Difference, books: Books) -> bool:
        mend = {Kind.COUNTER: self._recount, Kind.NAME: self._rename, Kind.RESERVATION: self._reserve}
        try:
            if difference.kind not in mend or not mend[difference.kind](difference, books):
                return False
        except StaleWrite:
            return False
        self.told(difference)
        return True

    def _recount(self, difference: Difference, books: Books) -> bool:
        [user_id] = difference.ids
        live = sum(1 for record in books.records if record.user_id == user_id and record.live)
        self.ledger.recount(user_id, (books.counters or {}).get(user_id, 0), live)
        return True

    def _rename(self, difference: Difference, books: Books) -> bool:
        user_id, name, container_id = difference.ids
        row = NameRow(user_id, name, container_id)
        if row in books.names:
            self.ledger.drop_name(row)
        else:
            self.ledger.hold_name(_record(books.records, container_id))
        return True

    def _reserve(self, difference: Difference, books: Books) -> bool:
        """A host's sum is counted again; a record that holds what it should not is left to a person."""
        for host in books.hosts:
            if difference.ids == (host.id,):
                self.ledger.reserve(host.id, host.reserved, reserved_by(books.records, host.id))
                return True
        return False


def _record(records: Sequence[Container], container_id: str) -> Container:
    return next(record for record in records if record.id == container_id)


def _counts(books: Books) -> dict[str, int]:
    return {
        "records": len(books.records),
        "names": len(books.names),
        "users": len(books.counters or {}),
        "hosts": len(books.hosts),
        "engine containers": sum(len(held) for held in (books.holdings or {}).values()),
        "connections": len(books.connections),
        "frames": len(books.entries),
    }
