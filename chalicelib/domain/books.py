"""What an audit compares: all that is recorded and all that hosts hold, read at about one time, comes as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chalicelib.contract.agent_api import Held
from chalicelib.domain.connection import Connection
from chalicelib.domain.container import Container
from chalicelib.domain.host import Host


@dataclass(frozen=True, slots=True)
class NameRow:
    """A name in use, and the container it is said to be of."""

    user_id: str
    name: str
    container_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame of an event log: its number and its time."""

    container_id: str
    seq: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Books:
    """Everything recorded at `at`, and what each host that answered holds, by host id."""

    at: datetime
    records: tuple[Container, ...] = ()
    names: tuple[NameRow, ...] = ()
    counters: Mapping[str, int] | None = None
    """Live containers by user, as counted."""
    hosts: tuple[Host, ...] = ()
    connections: tuple[Connection, ...] = ()
    entries: tuple[Entry, ...] = ()
    holdings: Mapping[str, tuple[Held, ...]] | None = None

    @property
    def unseen(self) -> tuple[str, ...]:
        """Hosts that have reported once and did not answer now: what they hold is not compared."""
        answered = self.holdings or {}
        return tuple(sorted(host.id for host in self.hosts if host.report is not None and host.id not in answered))
