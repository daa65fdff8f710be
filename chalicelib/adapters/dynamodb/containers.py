"""Containers and the event log in DynamoDB: `ports.ContainerStore` by single writes and transactions."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from chalicelib.adapters.dynamodb import reservations
from chalicelib.adapters.dynamodb.admission import Admission
from chalicelib.adapters.dynamodb.items import epoch, from_item, to_item
from chalicelib.adapters.dynamodb.rows import (
    DUE_SHARDS,
    RECORDS,
    UserRows,
    due_shard,
    next_version,
    record_of,
    values_of,
)
from chalicelib.adapters.dynamodb.transactions import Conditional, call, transact
from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.contract.statuses import LIVE, Status
from chalicelib.domain.container import Container, Frame, PendingPower
from chalicelib.domain.errors import HostFull, NotFound, StaleWrite
from chalicelib.domain.host import Host
from chalicelib.ports import IdempotencyKey, Rate, Replayed

KEPT = timedelta(hours=24)
"""How long records and logs of deleted containers are kept."""

LOG_KEPT = timedelta(days=90)
"""How long frames of a container without a session limit are kept."""


class DynamoContainers:
    """`ports.ContainerStore` on three tables."""

    def __init__(self, client: Any, containers: str, events: str, hosts: str) -> None:
        self._client = client
        self._containers = containers
        self._events = events
        self._hosts = hosts
        self._rows = UserRows(containers)
        self._admission = Admission(client, self._rows)

    def create(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, answer: dict[str, Any]
    ) -> Replayed | None:
        return self._admission.admit(new, limit, rate, key, answer)

    def charge_create(self, user_id: str, rate: Rate, at: datetime) -> None:
        self._admission.charge(user_id, rate, at)

    def get(self, user_id: str, container_id: str) -> Container:
        found = self._read(user_id, f"{RECORDS}{container_id}") if user_id else None
        if not found:
            raise NotFound("container not found")
        return record_of(found)

    def of_user(self, user_id: str) -> list[Container]:
        rows = self._query(
            self._containers,
            "user_id = :user AND begins_with(sk, :kind)",
            {":user": user_id, ":kind": RECORDS},
        )
        live = [container for container in map(record_of, rows) if container.live]
        return sorted(live, key=lambda each: (each.created_at, each.id), reverse=True)

    def begin_delete(self, container: Container, at: datetime) -> Container:
        changes = {"status": Status.DELETING, "due_at": at, "attempt": 0, "pending_power": None}
        deleting = next_version(container, **changes)
        record = self._rows.record(container).update(
            "SET #status = :deleting, due_at = :due, due_shard = :shard, attempt = :zero "
            "REMOVE pending_power ADD version :one",
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
        if transact(self._client, [record, *self._rows.releases(container)]) is not None:
            raise StaleWrite("no longer live")
        return deleting

    def want(self, container: Container, wanted: Status, pending: PendingPower, due_at: datetime) -> Container:
        change = self._rows.record(container).update(
            "SET wanted = :wanted, pending_power = :pending, due_at = :due, due_shard = :shard, attempt = :zero "
            "ADD version :one",
            "version = :version",
            {
                ":wanted": wanted.value,
                ":pending": pending.model_dump(mode="json"),
                ":due": due_at,
                ":shard": due_shard(container.id),
                ":zero": 0,
                ":one": 1,
                ":version": container.version,
            },
        )["Update"]
        try:
            call(lambda: self._client.update_item(**change))
        except Conditional:
            raise StaleWrite("the record has moved on") from None
        return next_version(container, wanted=wanted, pending_power=pending, due_at=due_at, attempt=0)

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        placed = next_version(container, host_id=host.id, reserved=True)
        claim = self._rows.record(container).update(
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
        refusal = transact(self._client, [claim, reservations.hold(self._hosts, container, host, at)])
        if refusal is None or refusal.found[0].get("host_id") == host.id:
            return placed
        if refusal.failed[0]:
            raise StaleWrite("placed already, or no longer creating")
        raise HostFull(host.id)

    def unplace(self, container: Container) -> Container:
        if container.host_id is None:
            raise StaleWrite("not placed")
        generation = container.generation + 1
        record = self._rows.record(container).update(
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
        if transact(self._client, [record, reservations.free(self._hosts, container, container.host_id)]) is not None:
            raise StaleWrite("no longer creating on that host")
        return next_version(container, host_id=None, generation=generation, number=0, reserved=False)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        values = values_of(after)
        if after.status is Status.DELETED:
            values["ttl"] = epoch(frames[-1].timestamp + KEPT)
        writes = [self._rows.record(after).put(values, "version = :version", {":version": before.version})]
        writes += [self._log(after, frame) for frame in frames]
        if before.reserved and not after.reserved and before.host_id is not None:
            writes.append(reservations.free(self._hosts, before, before.host_id))
        if release:
            writes += self._rows.releases(before)
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
        postponed = next_version(container, due_at=due_at, attempt=attempt)
        change = self._rows.record(container).update(
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
        return [record_of(row) for row in found_rows if row]

    def _due_keys(self, shard: int, before: datetime, limit: int) -> list[dict[str, Any]]:
        found = self._client.query(
            TableName=self._containers,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :before",
            ExpressionAttributeValues=to_item({":shard": shard, ":before": before}),
            Limit=limit,
        )
        return [from_item(item) for item in found["Items"]]

    def on_host(self, host_id: str, limit: int) -> list[Container]:
        page: dict[str, Any] = {}
        found: list[Container] = []
        while len(found) < limit:
            answer = call(lambda page=page: self._host_keys(host_id, page))  # type: ignore[misc]
            for item in answer["Items"]:
                key = from_item(item)
                record = record_of(self._read(key["user_id"], key["sk"]))
                if record.host_id == host_id and record.status in (Status.CREATING, Status.RUNNING):
                    found.append(record)
            if "LastEvaluatedKey" not in answer:
                break
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found[:limit]

    def _host_keys(self, host_id: str, page: Mapping[str, Any]) -> Any:
        return self._client.query(
            TableName=self._containers,
            IndexName="host",
            KeyConditionExpression="host_id = :host",
            ExpressionAttributeValues=to_item({":host": host_id}),
            **page,
        )

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
