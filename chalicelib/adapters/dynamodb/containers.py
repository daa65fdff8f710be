"""Containers and the event log in DynamoDB: `ports.ContainerStore` by single writes and transactions."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from chalicelib.adapters.dynamodb.admission import Admission
from chalicelib.adapters.dynamodb.changes import RecordChanges
from chalicelib.adapters.dynamodb.items import from_item, to_item
from chalicelib.adapters.dynamodb.rows import DUE_SHARDS, RECORDS, record_of
from chalicelib.adapters.dynamodb.transactions import all_rows, call
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container, Frame
from chalicelib.domain.errors import NotFound
from chalicelib.ports import IdempotencyKey, Rate, Replayed

ON_HOST = (Status.CREATING, Status.RUNNING, Status.DELETING)
"""What is lost with a host."""


class DynamoContainers(RecordChanges):
    """`ports.ContainerStore` on three tables."""

    def __init__(self, client: Any, containers: str, events: str, hosts: str) -> None:
        super().__init__(client, containers, events, hosts)
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
        found = (row for row in self._at_host(host_id) if row["status"] in ON_HOST)
        return [record_of(row) for row in islice(found, limit)]

    def find_on_host(self, host_id: str, container_id: str) -> Container:
        if not container_id:
            raise NotFound("container not found")
        for row in self._at_host(host_id, container_id):
            return record_of(row)
        raise NotFound("container not found")

    def _at_host(self, host_id: str, container_id: str | None = None) -> Iterator[dict[str, Any]]:
        """A host's records, or this one: by an index, which may lag, and then as they are."""
        keys = all_rows(
            self._client.query,
            TableName=self._containers,
            IndexName="host",
            KeyConditionExpression="host_id = :host" + (" AND id = :id" if container_id else ""),
            ExpressionAttributeValues=to_item({":host": host_id, ":id": container_id}),
        )
        found = (self._read(key["user_id"], key["sk"]) for key in keys)
        return (row for row in found if row.get("host_id") == host_id)

    def frames_after(self, container_id: str, seq: int) -> list[Frame]:
        rows = self._query(self._events, "container_id = :id AND seq > :seq", {":id": container_id, ":seq": seq})
        return [Frame.model_validate(row | {"container": json.loads(row["container"])}) for row in rows]

    def _read(self, user_id: str, sk: str) -> dict[str, Any]:
        key = to_item({"user_id": user_id, "sk": sk})
        found = call(lambda: self._client.get_item(TableName=self._containers, Key=key, ConsistentRead=True))
        return from_item(found.get("Item", {}))

    def _query(self, table: str, condition: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = all_rows(
            self._client.query,
            TableName=table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=to_item(values),
            ConsistentRead=True,
        )
        return list(found)
