"""Containers, names, quotas, keys and the event log in DynamoDB: `ports.ContainerStore` by transactions.

Rows of one user in the containers table, by `sk`: `container#<id>`, `name#<name>`, `quota`, `idem#<key>` and
`rate#<minute>` (one counter per minute and one per second of it, so that no branch has to be guessed).
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from chalicelib.adapters.dynamodb.items import epoch, from_item, instant, to_item
from chalicelib.adapters.dynamodb.transactions import Conditional, Refusal, call, transact
from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.contract.statuses import LIVE, Status
from chalicelib.domain.container import Container, Frame
from chalicelib.domain.errors import (
    Busy,
    HostFull,
    KeyReused,
    LimitReached,
    NameTaken,
    NotFound,
    RateLimited,
    StaleWrite,
)
from chalicelib.domain.host import LEASE, Host
from chalicelib.ports import IdempotencyKey, Rate, Replayed

DUE_SHARDS = 16
KEPT = timedelta(hours=24)
"""How long keys, and records and logs of deleted containers, are kept."""

LOG_KEPT = timedelta(days=90)
"""How long frames of a container without a session limit are kept."""

_RATE_KEPT = timedelta(minutes=5)
_AMOUNTS = ("memory_mb", "cpu_shares", "disk_mb")


class DynamoContainers:
    """`ports.ContainerStore` on three tables."""

    def __init__(self, client: Any, containers: str, events: str, hosts: str) -> None:
        self._client = client
        self._containers = containers
        self._events = events
        self._hosts = hosts

    def create(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, answer: dict[str, Any]
    ) -> Replayed | None:
        at = new.created_at
        writes = [
            self._record(new).put(_record_item(new), "attribute_not_exists(sk)"),
            self._name(new).put({"container_id": new.id}, "attribute_not_exists(sk)"),
            self._quota(new.user_id).update(
                "ADD live :one", "attribute_not_exists(live) OR live < :limit", {":one": 1, ":limit": limit}
            ),
            self._rate_charge(new.user_id, rate, at),
        ]
        if key is not None:
            writes.append(self._key_row(new.user_id, key, answer, at))
        refusal = transact(self._client, writes)
        if refusal is None or refusal.found[0].get("id") == new.id:
            return None
        return self._refused(new, limit, rate, key, refusal)

    def _key_row(self, user_id: str, key: IdempotencyKey, answer: dict[str, Any], at: datetime) -> dict[str, Any]:
        values = {
            "request_hash": key.request_hash,
            "answer": json.dumps(answer),
            "expires_at": at + KEPT,
            "ttl": epoch(at + KEPT),
        }
        return self._row(user_id, f"idem#{key.key}").put(
            values, "attribute_not_exists(sk) OR expires_at < :now", {":now": at}
        )

    def _refused(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, refusal: Refusal
    ) -> Replayed:
        """The reason that counts, in the port's order; a refused attempt is charged to the rate all the same."""
        if key is not None and refusal.failed[4]:
            return _replay(key, refusal.found[4])
        if refusal.failed[3]:
            raise _too_many(rate, refusal.found[3], new.created_at)
        self.charge_create(new.user_id, rate, new.created_at)
        if refusal.failed[2]:
            raise LimitReached(int(refusal.found[2].get("live", limit)), limit, new.tier)
        if refusal.failed[1]:
            raise NameTaken(new.name)
        raise Busy("the store refused for no reason we know")

    def charge_create(self, user_id: str, rate: Rate, at: datetime) -> None:
        charge = self._rate_charge(user_id, rate, at)["Update"]
        try:
            call(lambda: self._client.update_item(**charge))
        except Conditional:
            row = self._read(user_id, _minute_key(at))
            raise _too_many(rate, row, at) from None

    def _rate_charge(self, user_id: str, rate: Rate, at: datetime) -> dict[str, Any]:
        second = _second_name(at)
        return self._row(user_id, _minute_key(at)).update(
            f"ADD asked :one, {second} :one SET #ttl = :ttl",
            "(attribute_not_exists(asked) OR asked < :per_minute) AND "
            f"(attribute_not_exists({second}) OR {second} < :per_second)",
            {
                ":one": 1,
                ":per_minute": rate.per_minute,
                ":per_second": rate.per_second,
                ":ttl": epoch(at + _RATE_KEPT),
            },
            {"#ttl": "ttl"},
        )

    def get(self, user_id: str, container_id: str) -> Container:
        found = self._read(user_id, f"container#{container_id}")
        if not found:
            raise NotFound("container not found")
        return _container(found)

    def of_user(self, user_id: str) -> list[Container]:
        rows = self._query(
            self._containers,
            "user_id = :user AND begins_with(sk, :kind)",
            {":user": user_id, ":kind": "container#"},
        )
        live = [container for container in map(_container, rows) if container.live]
        return sorted(live, key=lambda each: (each.created_at, each.id), reverse=True)

    def begin_delete(self, container: Container, at: datetime) -> Container:
        deleting = _next(container, status=Status.DELETING, due_at=at, attempt=0)
        record = self._record(container).update(
            "SET #status = :deleting, due_at = :due, due_shard = :shard, attempt = :zero ADD version :one",
            "#status IN (:creating, :running, :stopped, :error)",
            {
                ":deleting": Status.DELETING.value,
                ":due": at,
                ":shard": due_shard(container.id),
                ":zero": 0,
                ":one": 1,
                **{f":{status.value}": status.value for status in LIVE},
            },
            {"#status": "status"},
        )
        if transact(self._client, [record, *self._releases(container)]) is not None:
            raise StaleWrite("no longer live")
        return deleting

    def _releases(self, container: Container) -> list[dict[str, Any]]:
        """Name and quota given back, each exactly once: both conditions hold for every live record (I5, I6)."""
        return [
            self._name(container).delete("container_id = :id", {":id": container.id}),
            self._quota(container.user_id).update("ADD live :less", "live > :zero", {":less": -1, ":zero": 0}),
        ]

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        placed = _next(container, host_id=host.id, reserved=True)
        claim = self._record(container).update(
            "SET host_id = :host, reserved = :true ADD version :one",
            "attribute_not_exists(host_id) AND #status = :creating AND generation = :generation",
            {
                ":host": host.id,
                ":true": True,
                ":one": 1,
                ":creating": Status.CREATING.value,
                ":generation": container.generation,
            },
            {"#status": "status"},
        )
        refusal = transact(self._client, [claim, self._reserve(container, host, at)])
        if refusal is None or refusal.found[0].get("host_id") == host.id:
            return placed
        if refusal.failed[0]:
            raise StaleWrite("placed already, or no longer creating")
        raise HostFull(host.id)

    def _reserve(self, container: Container, host: Host, at: datetime) -> dict[str, Any]:
        """The room as reported less what is wanted is the most that may be held before."""
        offer, wanted = host.report, container.resources
        if offer is None:
            raise HostFull(host.id)
        room = {f":room_{name}": getattr(offer, name) - getattr(wanted, name) for name in _AMOUNTS}
        fits = " AND ".join(f"reserved_{name} <= :room_{name}" for name in _AMOUNTS)
        add = ", ".join(f"reserved_{name} :{name}" for name in _AMOUNTS)
        return Row(self._hosts, {"host_id": host.id}).update(
            f"ADD {add}, reserved_containers :one",
            f"{fits} AND reserved_containers < :most AND placeable = :true AND received_at >= :oldest",
            {
                **room,
                **{f":{name}": getattr(wanted, name) for name in _AMOUNTS},
                ":one": 1,
                ":most": offer.max_containers,
                ":true": True,
                ":oldest": at - LEASE,
            },
        )

    def _unreserve(self, container: Container, host_id: str) -> dict[str, Any]:
        less = ", ".join(f"reserved_{name} :{name}" for name in _AMOUNTS)
        return Row(self._hosts, {"host_id": host_id}).update(
            f"ADD {less}, reserved_containers :one",
            "attribute_exists(host_id)",
            {**{f":{name}": -getattr(container.resources, name) for name in _AMOUNTS}, ":one": -1},
        )

    def unplace(self, container: Container) -> Container:
        if container.host_id is None:
            raise StaleWrite("not placed")
        generation = container.generation + 1
        record = self._record(container).update(
            "SET generation = :next, #number = :zero, reserved = :false REMOVE host_id ADD version :one",
            "#status = :creating AND host_id = :host AND generation = :generation",
            {
                ":next": generation,
                ":zero": 0,
                ":false": False,
                ":one": 1,
                ":creating": Status.CREATING.value,
                ":host": container.host_id,
                ":generation": container.generation,
            },
            {"#status": "status", "#number": "number"},
        )
        if transact(self._client, [record, self._unreserve(container, container.host_id)]) is not None:
            raise StaleWrite("no longer creating on that host")
        return _next(container, host_id=None, generation=generation, number=0, reserved=False)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        values = _record_item(after)
        if after.status is Status.DELETED:
            values["ttl"] = epoch(frames[-1].timestamp + KEPT)
        writes = [self._record(after).put(values, "version = :version", {":version": before.version})]
        writes += [self._log(after, frame) for frame in frames]
        if before.reserved and not after.reserved and before.host_id is not None:
            writes.append(self._unreserve(before, before.host_id))
        if release:
            writes += self._releases(before)
        if transact(self._client, writes) is not None:
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
        postponed = _next(container, due_at=due_at, attempt=attempt)
        change = self._record(container).update(
            "SET due_at = :due, due_shard = :shard, attempt = :attempt ADD version :one",
            "#status = :status AND generation = :generation AND attempt = :before",
            {
                ":due": due_at,
                ":shard": due_shard(container.id),
                ":attempt": attempt,
                ":one": 1,
                ":status": container.status.value,
                ":generation": container.generation,
                ":before": container.attempt,
            },
            {"#status": "status"},
        )["Update"]
        try:
            call(lambda: self._client.update_item(**change))
        except Conditional:
            raise StaleWrite("the record has moved on") from None
        return postponed

    def due(self, before: datetime, limit: int) -> list[Container]:
        keys: list[dict[str, Any]] = []
        for shard in range(DUE_SHARDS):
            found = call(lambda shard=shard: self._due_keys(shard, before, limit))  # type: ignore[misc]
            keys += found[: limit - len(keys)]
            if len(keys) >= limit:
                break
        found_rows = (self._read(key["user_id"], key["sk"]) for key in keys)
        return [_container(row) for row in found_rows if row]

    def _due_keys(self, shard: int, before: datetime, limit: int) -> list[dict[str, Any]]:
        found = self._client.query(
            TableName=self._containers,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :before",
            ExpressionAttributeValues=to_item({":shard": shard, ":before": before}),
            Limit=limit,
        )
        return [from_item(item) for item in found["Items"]]

    def frames_after(self, container_id: str, seq: int) -> list[Frame]:
        rows = self._query(self._events, "container_id = :id AND seq > :seq", {":id": container_id, ":seq": seq})
        return [Frame.model_validate(row | {"container": json.loads(row["container"])}) for row in rows]

    def _read(self, user_id: str, sk: str) -> dict[str, Any]:
        key = to_item({"user_id": user_id, "sk": sk})
        found = call(lambda: self._client.get_item(TableName=self._containers, Key=key, ConsistentRead=True))
        return from_item(found.get("Item", {}))

    def _query(self, table: str, condition: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        while True:
            page = call(
                lambda start=start: self._client.query(  # type: ignore[misc]
                    TableName=table,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=to_item(values),
                    ConsistentRead=True,
                    **start,
                )
            )
            rows += [from_item(item) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return rows
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _row(self, user_id: str, sk: str) -> Row:
        return Row(self._containers, {"user_id": user_id, "sk": sk})

    def _record(self, container: Container) -> Row:
        return self._row(container.user_id, f"container#{container.id}")

    def _name(self, container: Container) -> Row:
        return self._row(container.user_id, f"name#{container.name}")

    def _quota(self, user_id: str) -> Row:
        return self._row(user_id, "quota")


def due_shard(container_id: str) -> int:
    """The part of the due index that holds this container."""
    return zlib.crc32(container_id.encode()) % DUE_SHARDS


def _next(container: Container, **changes: Any) -> Container:
    """The record with these changes, as the next version."""
    return container.model_copy(update={**changes, "version": container.version + 1})


def _record_item(container: Container) -> dict[str, Any]:
    values = container.model_dump(mode="python", exclude_none=True)
    for field in ("status", "stage", "network_mode"):
        if field in values:
            values[field] = getattr(container, field).value
    for field in ("error", "stopped_because", "shell"):
        if field in values:
            values[field] = getattr(container, field).model_dump(mode="json", exclude_none=True)
    if container.due_at is not None:
        values["due_shard"] = due_shard(container.id)
    return values


def _container(row: Mapping[str, Any]) -> Container:
    return Container.model_validate(row)


def _replay(key: IdempotencyKey, row: Mapping[str, Any]) -> Replayed:
    if row.get("request_hash") != key.request_hash:
        raise KeyReused
    return Replayed(json.loads(row["answer"]))


def _minute_key(at: datetime) -> str:
    return f"rate#{instant(at)[:16]}"


def _second_name(at: datetime) -> str:
    return f"s{instant(at)[17:19]}"


def _too_many(rate: Rate, row: Mapping[str, Any], at: datetime) -> RateLimited:
    minute_full = int(row.get("asked", 0)) >= rate.per_minute
    return RateLimited(60 - int(instant(at)[17:19]) if minute_full else 1)
