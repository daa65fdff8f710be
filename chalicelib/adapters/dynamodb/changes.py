"""Changes of records: a record and a wish come in, one conditional write makes it so, or StaleWrite says no.

Every change leaves its own mark in the record. A write that was done and whose answer was lost is tried again, finds
its condition broken by itself, and knows itself by the mark (reliability FM4).
"""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from chalicelib.adapters.dynamodb import reservations
from chalicelib.adapters.dynamodb.items import epoch
from chalicelib.adapters.dynamodb.rows import MARK, UserRows, due_shard, next_version, values_of
from chalicelib.adapters.dynamodb.transactions import Conditional, Refusal, call, transact
from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.contract.causes import Cause
from chalicelib.contract.statuses import LIVE, Status
from chalicelib.domain.container import NOTHING_PENDING, RECONFIGURED, Container, Frame, PendingPower
from chalicelib.domain.errors import HostFull, NameTaken, StaleWrite
from chalicelib.domain.host import Host

KEPT = timedelta(hours=24)
"""How long records and logs of deleted containers are kept."""

LOG_KEPT = timedelta(days=90)
"""How long frames of a container without a session limit are kept."""


class RecordChanges:
    """The writing half of `ports.ContainerStore`, but for creation."""

    def __init__(self, client: Any, containers: str, events: str, hosts: str) -> None:
        self._client = client
        self._containers = containers
        self._events = events
        self._hosts = hosts
        self._rows = UserRows(containers)

    def begin_delete(self, container: Container, at: datetime, cause: Cause) -> Container:
        changes = {"status": Status.DELETING, "due_at": at, "attempt": 0, "deleted_because": cause, **NOTHING_PENDING}
        mark = _new_mark()
        record = self._rows.change(
            container,
            "#status = :deleting, deleted_because = :cause, due_at = :due, due_shard = :shard, attempt = :zero",
            "#status IN (:creating, :running, :stopped, :error)",
            {
                ":deleting": Status.DELETING.value,
                ":cause": cause.model_dump(mode="json", exclude_none=True),
                ":due": at,
                ":shard": due_shard(container.id),
                ":zero": 0,
                **{f":{status.value}": status.value for status in LIVE},
            },
            mark,
            remove=", ".join(NOTHING_PENDING),
        )
        if self._refusal([record, *self._rows.releases(container)], mark) is not None:
            raise StaleWrite("no longer live")
        return next_version(container, **changes)

    def want(self, container: Container, wanted: Status, pending: PendingPower, due_at: datetime) -> Container:
        mark = _new_mark()
        change = self._rows.change(
            container,
            "wanted = :wanted, pending_power = :pending, due_at = :due, due_shard = :shard, attempt = :zero",
            "version = :version",
            {
                ":wanted": wanted.value,
                ":pending": pending.model_dump(mode="json"),
                ":due": due_at,
                ":shard": due_shard(container.id),
                ":zero": 0,
                ":version": container.version,
            },
            mark,
        )
        self._update(change, mark)
        return next_version(container, wanted=wanted, pending_power=pending, due_at=due_at, attempt=0)

    def reconfigure(self, before: Container, after: Container, host: Host | None) -> Container:
        mark = _new_mark()
        changed = next_version(before, **{name: getattr(after, name) for name in RECONFIGURED})
        values = values_of(changed) | {MARK: mark}
        writes = [self._rows.record(changed).put(values, "version = :version", {":version": before.version})]
        if host is not None:
            writes.append(reservations.change(self._hosts, host.id, before.resources, changed.resources, host))
        if changed.name != before.name:
            writes.append(self._rows.name(before).delete("container_id = :id", {":id": before.id}))
            writes.append(self._rows.name(changed).put({"container_id": before.id}, "attribute_not_exists(sk)"))
        refusal = self._refusal(writes, mark)
        if refusal is None:
            return changed
        if refusal.failed[0]:
            raise StaleWrite("the record has moved on")
        if changed.name != before.name and refusal.failed[-1]:
            raise NameTaken(changed.name)
        if host is not None and refusal.failed[1]:
            raise HostFull(host.id)
        raise StaleWrite("its name is not its own")

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        mark = _new_mark()
        claim = self._rows.change(
            container,
            "host_id = :host, reserved = :true",
            "attribute_not_exists(host_id) AND #status = :creating AND generation = :generation",
            {
                ":host": host.id,
                ":true": True,
                ":creating": Status.CREATING.value,
                ":generation": container.generation,
            },
            mark,
        )
        refusal = self._refusal([claim, reservations.hold(self._hosts, container, host, at)], mark)
        if refusal is None:
            return next_version(container, host_id=host.id, reserved=True)
        if refusal.failed[0]:
            raise StaleWrite("placed already, or no longer creating")
        raise HostFull(host.id)

    def unplace(self, container: Container) -> Container:
        if container.host_id is None:
            raise StaleWrite("not placed")
        generation, mark = container.generation + 1, _new_mark()
        record = self._rows.change(
            container,
            "generation = :next, #number = :zero, reserved = :false",
            "#status = :creating AND host_id = :host AND generation = :generation",
            {
                ":next": generation,
                ":zero": 0,
                ":false": False,
                ":creating": Status.CREATING.value,
                ":host": container.host_id,
                ":generation": container.generation,
            },
            mark,
            remove="host_id",
        )
        if self._refusal([record, reservations.free(self._hosts, container, container.host_id)], mark) is not None:
            raise StaleWrite("no longer creating on that host")
        return next_version(container, host_id=None, generation=generation, number=0, reserved=False)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        mark = _new_mark()
        values = values_of(after) | {MARK: mark}
        if after.status is Status.DELETED:
            values["ttl"] = epoch(frames[-1].timestamp + KEPT)
        writes = [self._rows.record(after).put(values, "version = :version", {":version": before.version})]
        writes += [self._log(after, frame) for frame in frames]
        if before.reserved and not after.reserved and before.host_id is not None:
            writes.append(reservations.free(self._hosts, before, before.host_id))
        elif after.reserved and after.resources != before.resources and after.host_id is not None:
            writes.append(reservations.change(self._hosts, after.host_id, before.resources, after.resources, None))
        if release:
            writes += self._rows.releases(before)
        if self._refusal(writes, mark) is not None:
            raise StaleWrite("the record has moved on")

    def _log(self, container: Container, frame: Frame) -> dict[str, Any]:
        """A frame of the log; it fades a day after the container's end, or long after when no end is known."""
        ended = frame.timestamp if container.status is Status.DELETED else None
        ends = ended or container.expires_at or frame.timestamp + LOG_KEPT
        values = {
            "type": frame.type,
            "container": json.dumps(frame.container),
            "timestamp": frame.timestamp,
            "ttl": epoch(ends + KEPT),
        }
        return Row(self._events, {"container_id": container.id, "seq": frame.seq}).put(values)

    def postpone(self, container: Container, due_at: datetime, attempt: int) -> Container:
        mark = _new_mark()
        change = self._rows.change(
            container,
            "due_at = :due, due_shard = :shard, attempt = :attempt",
            "#status = :status AND generation = :generation AND attempt = :before",
            {
                ":due": due_at,
                ":shard": due_shard(container.id),
                ":attempt": attempt,
                ":status": container.status.value,
                ":generation": container.generation,
                ":before": container.attempt,
            },
            mark,
        )
        self._update(change, mark)
        return next_version(container, due_at=due_at, attempt=attempt)

    def _refusal(self, writes: Sequence[dict[str, Any]], mark: str) -> Refusal | None:
        """Commit the record's change, which comes first, with the rest; None also when it is found to be done."""
        refusal = transact(self._client, writes, mark)
        return None if refusal is None or refusal.found[0].get(MARK) == mark else refusal

    def _update(self, change: dict[str, Any], mark: str) -> None:
        """Commit a change of the record alone."""
        try:
            call(lambda: self._client.update_item(**change["Update"]))
        except Conditional as refused:
            if refused.found.get(MARK) != mark:
                raise StaleWrite("the record has moved on") from None


def _new_mark() -> str:
    return uuid.uuid4().hex
