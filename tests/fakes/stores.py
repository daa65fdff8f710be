"""Stores in memory, held to the same contract tests as DynamoDB. One lock makes every promise atomic."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.contract.agent_api import HostReport
from chalicelib.contract.causes import Cause
from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Status
from chalicelib.domain.connection import Connection
from chalicelib.domain.container import NOTHING_PENDING, RECONFIGURED, Container, Frame, PendingPower
from chalicelib.domain.errors import (
    HostFull,
    KeyReused,
    LimitReached,
    NameTaken,
    NotFound,
    RateLimited,
    StaleWrite,
)
from chalicelib.domain.host import Host, Reserved
from chalicelib.domain.identity import Token
from chalicelib.ports import IdempotencyKey, Rate, Replayed


class MemoryHosts:
    """Every `groups`-th host by enrolment is of one group; `read` counts the groups that were read."""

    def __init__(self, groups: int = 1) -> None:
        self.groups = groups
        self.read = 0
        self.lock = threading.RLock()
        self.rows: dict[str, Host] = {}

    def enrol(self, host_id: str, public_key: str) -> None:
        with self.lock:
            known = self.rows.get(host_id, Host(id=host_id, public_key=public_key))
            self.rows[host_id] = known.model_copy(update={"public_key": public_key})

    def get(self, host_id: str) -> Host:
        if host_id not in self.rows:
            raise NotFound("host not found")
        return self.rows[host_id]

    def heartbeat(self, host_id: str, report: HostReport, received_at: datetime) -> None:
        with self.lock:
            known = self.get(host_id)
            if known.received_at is None or known.received_at <= received_at:
                self.rows[host_id] = known.model_copy(update={"report": report, "received_at": received_at})

    def drain(self, host_id: str, draining: bool) -> None:
        with self.lock:
            self.rows[host_id] = self.get(host_id).model_copy(update={"draining": draining})

    def note_failure(self, host_id: str, at: datetime) -> None:
        with self.lock:
            self.rows[host_id] = self.get(host_id).model_copy(update={"failed_at": at})

    def samples(self, choice: Callable[[int], int]) -> Iterator[list[Host]]:
        left = list(range(self.groups))
        while left:
            rows = list(self.rows.values())[left.pop(choice(len(left))) :: self.groups]
            self.read += 1
            yield [host for host in rows if host.report is not None]

    def candidates(self) -> list[Host]:
        return [host for host in self.rows.values() if host.report is not None]

    def room_for_more(self, host: Host, before: Resources, after: Resources) -> bool:
        held, offer = self.rows[host.id].reserved, host.report
        for name in ("memory_mb", "cpu_shares", "disk_mb"):
            more = getattr(after, name) - getattr(before, name)
            if more > 0 and getattr(held, name) + more > getattr(offer, name, 0):
                return False
        return True

    def hold(self, host_id: str, container: Container, sign: int) -> None:
        held, wanted = self.rows[host_id].reserved, container.resources
        reserved = Reserved(
            memory_mb=held.memory_mb + sign * wanted.memory_mb,
            cpu_shares=held.cpu_shares + sign * wanted.cpu_shares,
            disk_mb=held.disk_mb + sign * wanted.disk_mb,
            containers=held.containers + sign,
        )
        self.rows[host_id] = self.rows[host_id].model_copy(update={"reserved": reserved})


@dataclass
class MemoryContainers:
    hosts: MemoryHosts = field(default_factory=MemoryHosts)
    records: dict[tuple[str, str], Container] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, dict[str, Any], datetime]] = field(default_factory=dict)
    asked: dict[tuple[str, str], int] = field(default_factory=dict)
    log: dict[str, list[Frame]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, answer: dict[str, Any]
    ) -> Replayed | None:
        with self.lock:
            if (new.user_id, new.id) in self.records:
                return None
            replayed = self._replay(new, key)
            if replayed is not None:
                return replayed
            self.charge_create(new.user_id, rate, new.created_at)
            if self.live.get(new.user_id, 0) >= limit:
                raise LimitReached(self.live[new.user_id], limit, new.tier)
            if (new.user_id, new.name) in self.names:
                raise NameTaken(new.name)
            self.records[new.user_id, new.id] = new
            self.names[new.user_id, new.name] = new.id
            self.live[new.user_id] = self.live.get(new.user_id, 0) + 1
            if key is not None:
                self.keys[new.user_id, key.key] = (key.request_hash, answer, new.created_at + timedelta(hours=24))
            return None

    def _replay(self, new: Container, key: IdempotencyKey | None) -> Replayed | None:
        known = self.keys.get((new.user_id, key.key)) if key else None
        if key is None or known is None or known[2] <= new.created_at:
            return None
        if known[0] != key.request_hash:
            raise KeyReused
        return Replayed(known[1])

    def charge_create(self, user_id: str, rate: Rate, at: datetime) -> None:
        with self.lock:
            minute, second = (user_id, at.strftime("%F %H:%M")), (user_id, at.strftime("%F %H:%M:%S"))
            if self.asked.get(minute, 0) >= rate.per_minute:
                raise RateLimited(60 - at.second)
            if self.asked.get(second, 0) >= rate.per_second:
                raise RateLimited(1)
            for window in (minute, second):
                self.asked[window] = self.asked.get(window, 0) + 1

    def get(self, user_id: str, container_id: str) -> Container:
        found = self.records.get((user_id, container_id))
        if found is None:
            raise NotFound("container not found")
        return found

    def of_user(self, user_id: str) -> list[Container]:
        live = [each for (owner, _), each in list(self.records.items()) if owner == user_id and each.live]
        return sorted(live, key=lambda each: (each.created_at, each.id), reverse=True)

    def begin_delete(self, container: Container, at: datetime, cause: Cause) -> Container:
        with self.lock:
            now = self.get(container.user_id, container.id)
            if not now.live:
                raise StaleWrite("no longer live")
            changes = {
                "status": Status.DELETING,
                "due_at": at,
                "attempt": 0,
                "deleted_because": cause,
                **NOTHING_PENDING,
            }
            self._give_back(now)
            self.records[now.user_id, now.id] = _next(now, changes)
            return _next(container, changes)

    def _give_back(self, container: Container) -> None:
        del self.names[container.user_id, container.name]
        self.live[container.user_id] -= 1

    def want(self, container: Container, wanted: Status, pending: PendingPower, due_at: datetime) -> Container:
        with self.lock:
            now = self.get(container.user_id, container.id)
            if now.version != container.version:
                raise StaleWrite("the record has moved on")
            changes = {"wanted": wanted, "pending_power": pending, "due_at": due_at, "attempt": 0}
            self.records[now.user_id, now.id] = _next(now, changes)
            return _next(container, changes)

    def reconfigure(self, before: Container, after: Container, host: Host | None) -> Container:
        with self.lock, self.hosts.lock:
            now = self.get(before.user_id, before.id)
            if now.version != before.version:
                raise StaleWrite("the record has moved on")
            changed = _next(now, {name: getattr(after, name) for name in RECONFIGURED})
            if changed.name != now.name and (now.user_id, changed.name) in self.names:
                raise NameTaken(changed.name)
            if host is not None and not self.hosts.room_for_more(host, now.resources, changed.resources):
                raise HostFull(host.id)
            if host is not None:
                self.hosts.hold(host.id, now, -1)
                self.hosts.hold(host.id, changed, +1)
            del self.names[now.user_id, now.name]
            self.names[now.user_id, changed.name] = now.id
            self.records[now.user_id, now.id] = changed
            return changed

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        with self.lock, self.hosts.lock:
            now = self.get(container.user_id, container.id)
            unplaced = now.host_id is None and now.status is Status.CREATING
            if not unplaced or now.generation != container.generation:
                raise StaleWrite("placed already, or no longer creating")
            if not self.hosts.get(host.id).takes(container.resources, at, any_disk=True):
                raise HostFull(host.id)
            self.hosts.hold(host.id, container, +1)
            changes = {"host_id": host.id, "reserved": True}
            self.records[now.user_id, now.id] = _next(now, changes)
            return _next(container, changes)

    def unplace(self, container: Container) -> Container:
        with self.lock, self.hosts.lock:
            now = self.get(container.user_id, container.id)
            same = (now.host_id, now.generation) == (container.host_id, container.generation)
            if now.host_id is None or now.status is not Status.CREATING or not same:
                raise StaleWrite("no longer creating on that host")
            self.hosts.hold(now.host_id, now, -1)
            changes = {"host_id": None, "generation": now.generation + 1, "number": 0, "reserved": False}
            self.records[now.user_id, now.id] = _next(now, changes)
            return _next(container, changes)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        with self.lock, self.hosts.lock:
            now = self.get(before.user_id, before.id)
            if now.version != before.version:
                raise StaleWrite("the record has moved on")
            if before.reserved and not after.reserved and before.host_id is not None:
                self.hosts.hold(before.host_id, before, -1)
            elif after.reserved and after.resources != before.resources and after.host_id is not None:
                self.hosts.hold(after.host_id, before, -1)
                self.hosts.hold(after.host_id, after, +1)
            if release:
                self._give_back(before)
            self.records[after.user_id, after.id] = after
            self.log.setdefault(after.id, []).extend(frames)

    def postpone(self, container: Container, due_at: datetime, attempt: int) -> Container:
        with self.lock:
            now = self.get(container.user_id, container.id)
            then = (container.status, container.generation, container.attempt)
            if (now.status, now.generation, now.attempt) != then:
                raise StaleWrite("the record has moved on")
            changes = {"due_at": due_at, "attempt": attempt}
            self.records[now.user_id, now.id] = _next(now, changes)
            return _next(container, changes)

    def due(self, before: datetime, limit: int) -> list[Container]:
        waiting = [each for each in list(self.records.values()) if each.due_at and each.due_at <= before]
        return sorted(waiting, key=lambda each: str(each.due_at))[:limit]

    def on_host(self, host_id: str, limit: int) -> list[Container]:
        live = (Status.CREATING, Status.RUNNING, Status.DELETING)
        placed = [each for each in list(self.records.values()) if each.host_id == host_id]
        return [each for each in placed if each.status in live][:limit]

    def find_on_host(self, host_id: str, container_id: str) -> Container:
        for each in list(self.records.values()):
            if (each.host_id, each.id) == (host_id, container_id):
                return each
        raise NotFound("container not found")

    def frames_after(self, container_id: str, seq: int) -> list[Frame]:
        return [frame for frame in self.log.get(container_id, []) if frame.seq > seq]


def _next(container: Container, changes: dict[str, Any]) -> Container:
    return container.model_copy(update={**changes, "version": container.version + 1})


class MemoryTokens:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.rows: dict[str, Token] = {}
        self.tickets: dict[str, tuple[str, datetime]] = {}
        self.guests: dict[tuple[str, str], int] = {}
        self.reads = 0

    def by_hash(self, token_hash: str) -> Token:
        self.reads += 1
        if token_hash not in self.rows:
            raise NotFound("token not found")
        return self.rows[token_hash]

    def add(self, token: Token) -> None:
        self.rows[token.hash] = token

    def of_user(self, user_id: str) -> list[Token]:
        mine = [token for token in self.rows.values() if token.user_id == user_id and not token.revoked]
        return sorted(mine, key=lambda token: token.created_at, reverse=True)

    def revoke(self, user_id: str, token_id: str) -> Token:
        with self._lock:
            for token in self.of_user(user_id):
                if token.id == token_id:
                    self.rows[token.hash] = replace(token, revoked=True)
                    return token
        raise NotFound("token not found")

    def add_ticket(self, ticket_hash: str, token_hash: str, expires_at: datetime) -> None:
        self.tickets[ticket_hash] = (token_hash, expires_at)

    def take_ticket(self, ticket_hash: str, now: datetime) -> str:
        with self._lock:
            token_hash, expires_at = self.tickets.pop(ticket_hash, ("", now))
        if expires_at <= now:
            raise NotFound("ticket not found")
        return token_hash

    def count_guest(self, address_hash: str, limit: int, at: datetime) -> None:
        with self._lock:
            day = (address_hash, at.strftime("%F"))
            if self.guests.get(day, 0) >= limit:
                midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
                raise RateLimited(int((midnight - at).total_seconds()))
            self.guests[day] = self.guests.get(day, 0) + 1


class MemoryConnections:
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.rows: dict[str, Connection] = {}

    def add(self, connection: Connection, limit: int) -> None:
        with self._lock:
            if len(self.of_user(connection.user_id, connection.connected_at)) >= limit:
                raise RateLimited(60, error="too many connections")
            self.rows[connection.id] = connection

    def get(self, connection_id: str, now: datetime) -> Connection:
        found = self.rows.get(connection_id)
        if found is None or found.expires_at <= now:
            raise NotFound("connection not found")
        return found

    def of_user(self, user_id: str, now: datetime) -> list[Connection]:
        return [each for each in list(self.rows.values()) if each.user_id == user_id and each.expires_at > now]

    def mark_listed(self, connection: Connection) -> None:
        with self._lock:
            if connection.id not in self.rows:
                raise NotFound("connection not found")
            self.rows[connection.id] = replace(self.rows[connection.id], listed=True)

    def strike(self, connection: Connection, strikes: int) -> None:
        with self._lock:
            if connection.id in self.rows:
                self.rows[connection.id] = replace(self.rows[connection.id], strikes=strikes)

    def forget(self, connection: Connection) -> None:
        self.rows.pop(connection.id, None)
