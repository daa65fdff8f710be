"""What services need from the world: our words go in, our words or an error of `domain.errors` come out.

Every promise here is asked of the fake and of the real adapter by `tests/contract`. Any call on the store may
also raise Busy when the store refuses after bounded retries; then nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from chalicelib.contract.agent_api import (
        ContainerSpec,
        ExecCall,
        FileCall,
        Filed,
        Holdings,
        HostReport,
        PowerCall,
        Ran,
        Removal,
        ResizeCall,
        UsageCall,
        Used,
    )
    from chalicelib.contract.causes import Cause
    from chalicelib.contract.commands import Command
    from chalicelib.contract.events import SingleEvent
    from chalicelib.contract.statuses import Status
    from chalicelib.domain.books import Entry, NameRow
    from chalicelib.domain.connection import Connection
    from chalicelib.domain.container import Container, Frame, PendingPower
    from chalicelib.domain.host import Host, Reserved
    from chalicelib.domain.identity import Token


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key with the hash of the request it came with."""

    key: str
    request_hash: str


@dataclass(frozen=True, slots=True)
class Rate:
    """How many creations a user may ask for."""

    per_minute: int
    per_second: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer given to the first request with this key."""

    answer: dict[str, Any]


class ContainerViews(Protocol):
    """What subscribers are shown: the records of a user, and the event log."""

    def of_user(self, user_id: str) -> list[Container]:
        """The user's live containers, newest first."""

    def frames_after(self, container_id: str, seq: int) -> list[Frame]:
        """The frames of a container with a higher number, in order."""


class ContainerStore(ContainerViews, Protocol):
    """Records of containers, names, quotas, idempotency keys and the event log."""

    def create(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, answer: dict[str, Any]
    ) -> Replayed | None:
        """Write record, name, quota, rate and key in one transaction; None, or Replayed when the key is known.

        `answer` is kept for 24 h under the key. Checked in this order: KeyReused, RateLimited, LimitReached,
        NameTaken. A repeat of our own write (same `new.id`) is success. Times are taken from `new.created_at`.
        """

    def charge_create(self, user_id: str, rate: Rate, at: datetime) -> None:
        """Count one refused creation against the user's rate, or RateLimited."""

    def get(self, user_id: str, container_id: str) -> Container:
        """The record as of now (strongly consistent) whatever its status, or NotFound."""

    def begin_delete(self, container: Container, at: datetime, cause: Cause) -> Container:
        """Move a live record to `deleting`, due at once, and give back name and quota, in one transaction.

        The cause is kept as why it was deleted, whatever happens then. StaleWrite when it is no longer live.
        """

    def want(self, container: Container, wanted: Status, pending: PendingPower, due_at: datetime) -> Container:
        """Note what the user asked for and when to ask again, if the record is as it was read; StaleWrite otherwise."""

    def reconfigure(self, before: Container, after: Container, host: Host | None) -> Container:
        """Write another name or other amounts, if the record is at `before`'s version, in one transaction.

        The names' rows follow, and the reservation on `host` when the amounts differ. StaleWrite; NameTaken when
        another container of the user has the name; HostFull when the host has no room for what is added.
        """

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        """Claim a host for an unplaced record in `creating` and reserve its room, in one transaction (M3).

        Returns the record with `host_id`, `reserved`. StaleWrite when the record is placed or no longer
        creating in this generation; HostFull when the reservation does not fit any more.
        """

    def unplace(self, container: Container) -> Container:
        """Give the claim back after a definite refusal: no host, generation + 1, number 0, reservation released.

        StaleWrite when the record is not in `creating` on that host in that generation.
        """

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        """Write a change and its frames in one transaction, if the record is still at `before`'s version.

        Host room follows the amounts, and is released when `after.reserved` is false and `before`'s was true; with
        `release` also name and quota (M7). A record in `deleted` and its log fade 24 h later. StaleWrite otherwise.
        """

    def postpone(self, container: Container, due_at: datetime, attempt: int) -> Container:
        """Set when the sweeper looks again, if status and generation are unchanged; StaleWrite otherwise."""

    def due(self, before: datetime, limit: int) -> list[Container]:
        """Records whose `due_at` has passed, oldest first per shard, at most `limit`; may lag behind writes."""

    def on_host(self, host_id: str, limit: int) -> list[Container]:
        """Records placed on a host in `creating`, `running` or `deleting`, at most `limit`; may lag behind writes."""

    def find_on_host(self, host_id: str, container_id: str) -> Container:
        """The record with this id, whoever its user is, if it is placed on that host; may lag behind. NotFound."""


class HostStore(Protocol):
    """Enrolled hosts, their leases and reservations."""

    def enrol(self, host_id: str, public_key: str) -> None:
        """Make the host known, or replace its key; reservations stay."""

    def get(self, host_id: str) -> Host:
        """The host, or NotFound."""

    def heartbeat(self, host_id: str, report: HostReport, received_at: datetime) -> None:
        """Renew the lease and keep the report; NotFound when it is not enrolled.

        Nothing when a later beat is known: one that was held up in the queue renews nothing.
        """

    def drain(self, host_id: str, draining: bool) -> None:
        """Take no more containers there, or take them again; NotFound when it is not enrolled."""

    def note_failure(self, host_id: str, at: datetime) -> None:
        """Remember that the host refused a container or did not answer; NotFound when it is not enrolled."""

    def samples(self, choice: Callable[[int], int]) -> Iterator[Sequence[Host]]:
        """Hosts that reported, one group after another, each group once, drawn by `choice`, read when it is asked for.

        Possibly a little stale; `place` decides. A small fleet is one group.
        """

    def candidates(self) -> list[Host]:
        """Every host that reported, possibly a little stale: as dear as the fleet is large."""


class TokenStore(Protocol):
    """Tokens by the hash of their secret, one-use tickets, and the guests' daily count."""

    def by_hash(self, token_hash: str) -> Token:
        """The token, or NotFound."""

    def add(self, token: Token) -> None:
        """Keep a new token."""

    def of_user(self, user_id: str) -> list[Token]:
        """The user's tokens that are not revoked, newest first."""

    def revoke(self, user_id: str, token_id: str) -> Token:
        """Revoke one of the user's tokens for good and return it; NotFound when it is not theirs or revoked."""

    def add_ticket(self, ticket_hash: str, token_hash: str, expires_at: datetime) -> None:
        """Keep a one-use ticket that stands for a token."""

    def take_ticket(self, ticket_hash: str, now: datetime) -> str:
        """The token's hash, once; NotFound for a used, late or unknown ticket."""

    def count_guest(self, address_hash: str, limit: int, at: datetime) -> None:
        """Count one guest of this address today (UTC), or RateLimited until midnight."""


class RateStore(Protocol):
    """Counts of one key and window, each in a row of its own that fades after the window."""

    def add(self, key: str, ends: datetime, amount: int) -> int:
        """Add to the key's count in the window that ends then; the total over all processes. Tried once, or Busy."""

    def admit(self, key: str, ends: datetime, member: str, limit: int) -> bool:
        """Whether the member is among the first `limit` of the key in this window; asking again changes nothing."""


class ConnectionStore(Protocol):
    """Open connections by user and by id. Expired rows are never returned."""

    def add(self, connection: Connection, limit: int) -> None:
        """Keep it, or RateLimited when the user has `limit` live connections already (never one more)."""

    def get(self, connection_id: str, now: datetime) -> Connection:
        """The connection, or NotFound."""

    def of_user(self, user_id: str, now: datetime) -> list[Connection]:
        """The user's connections (strongly consistent)."""

    def mark_listed(self, connection: Connection) -> None:
        """Its list is out; NotFound when the connection is no longer kept."""

    def strike(self, connection: Connection, strikes: int) -> None:
        """Keep the number of bad frames in a row; nothing when the connection is no longer kept."""

    def forget(self, connection: Connection) -> None:
        """Drop it; nothing when it is not there."""


class CommandQueue(Protocol):
    """The road from the API to the provision function, in order per container."""

    def send(self, command: Command, attempt: int = 0) -> None:
        """Deliver at least once, or Busy; the same command with the same attempt comes once within 5 minutes."""


class EventQueue(Protocol):
    """The road to the status function, in order per container (or connection), signed by the control plane."""

    def send(self, event: SingleEvent, attempt: int = 0) -> None:
        """Deliver at least once, or Busy."""


class Agents(Protocol):
    """Calls to hosts, each signed, answered within seconds, idempotent by (container id, generation)."""

    def create(self, host: Host, spec: ContainerSpec) -> None:
        """The host will make it and report by events; AgentRefused or AgentUnreachable."""

    def delete(self, host: Host, removal: Removal) -> None:
        """The host will remove it and report by events; AgentRefused or AgentUnreachable."""

    def power(self, host: Host, call: PowerCall) -> None:
        """The host will start, stop or restart it and report by events; AgentRefused or AgentUnreachable."""

    def resize(self, host: Host, call: ResizeCall) -> None:
        """The host will give it these amounts and report by events; AgentRefused or AgentUnreachable."""

    def holdings(self, host: Host) -> Holdings:
        """Everything of ours on the host's engine, found just now; AgentRefused or AgentUnreachable."""


class Runner(Protocol):
    """Commands and files inside containers: calls to a host that wait for work, and are never made twice."""

    def usage(self, host: Host, call: UsageCall) -> Used:
        """What the container uses; AgentRefused or AgentUnreachable."""

    def run(self, host: Host, call: ExecCall) -> Ran:
        """Run it and answer what it printed; AgentRefused (it was not run) or AgentUnreachable (it may have been)."""

    def file(self, host: Host, call: FileCall) -> Filed:
        """Do it and answer what was found; AgentRefused (it was not done) or AgentUnreachable (it may have been)."""


class Sockets(Protocol):
    """Writing to WebSocket connections."""

    def send(self, connection_id: str, text: str) -> None:
        """Push one frame; ConnectionGone when closed, ConnectionStuck when throttled or too slow."""

    def close(self, connection_id: str) -> None:
        """Close it; nothing when it is closed already."""


class Metrics(Protocol):
    """Measurements of how the service does. Dimensions are words of short lists, never ids."""

    def count(self, name: str, amount: float = 1, **dimensions: str) -> None:
        """It happened, or so many times."""

    def measure(self, name: str, value: float, unit: str, **dimensions: str) -> None:
        """One value, in `Seconds` or `Count`."""

    def flush(self) -> None:
        """Hand over what was noted since the last time; at the end of an invocation."""


class Tracer(Protocol):
    """Where it can be seen afterwards how long each part of an invocation took."""

    def invocation(self, function: str) -> AbstractContextManager[None]:
        """All that is done inside belongs to one invocation of this function."""


class DeadLetters(Protocol):
    """Messages that were given up."""

    def waiting(self, queue: str) -> int:
        """How many of `commands`, `enrolments` or `events` wait for an operator, about; Busy when nobody knows."""


class Clock(Protocol):
    """The time, so that tests may hold it."""

    def now(self) -> datetime:
        """The instant, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Ids(Protocol):
    """What must be new or unguessable, so that tests may know it."""

    def uuid(self) -> str:
        """A random UUID (version 4) as text."""

    def secret(self) -> bytes:
        """32 random bytes."""

    def choice(self, upto: int) -> int:
        """A random number from 0 to `upto` - 1."""


class Ledger(Protocol):
    """All rows, for the operator's audit alone (ADR 0008): each read is whole and strongly consistent, row by row.

    Every mending writes only if what was found is still so, or raises StaleWrite.
    """

    def records(self) -> list[Container]:
        """Every record, deleted ones too while they are kept."""

    def names(self) -> list[NameRow]:
        """Every name in use."""

    def counters(self) -> dict[str, int]:
        """Live containers by user, as counted."""

    def hosts(self) -> list[Host]:
        """Every enrolled host, heard of or not."""

    def connections(self) -> list[Connection]:
        """Every kept connection, expired ones too."""

    def entries(self) -> list[Entry]:
        """Number and time of every frame of every log."""

    def recount(self, user_id: str, found: int, live: int) -> None:
        """Set the user's counter."""

    def drop_name(self, row: NameRow) -> None:
        """Take a name away from a container that has no right to it."""

    def hold_name(self, container: Container) -> None:
        """Give a live container its name, if no other has it."""

    def reserve(self, host_id: str, found: Reserved, held: Reserved) -> None:
        """Set what is held of a host."""
