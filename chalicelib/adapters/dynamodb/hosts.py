"""Enrolled hosts in DynamoDB: `ports.HostStore` on the hosts table."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.items import from_item, to_item
from chalicelib.adapters.dynamodb.transactions import Conditional, all_rows, call
from chalicelib.contract.agent_api import HostReport
from chalicelib.domain.errors import NotFound
from chalicelib.domain.host import Host, Reserved

_AMOUNTS = ("memory_mb", "cpu_shares", "disk_mb", "containers")


class DynamoHosts:
    """`ports.HostStore`; hosts are spread over `shards` partitions of the index by state, each read whole."""

    def __init__(self, client: Any, table: str, shards: int = 1) -> None:
        self._client = client
        self._table = table
        self._shards = shards

    def enrol(self, host_id: str, public_key: str) -> None:
        zeros = " ".join(f"reserved_{name} = if_not_exists(reserved_{name}, :zero)," for name in _AMOUNTS)
        call(
            lambda: self._client.update_item(
                TableName=self._table,
                Key=to_item({"host_id": host_id}),
                UpdateExpression=f"SET public_key = :key, {zeros} state_shard = :shard",
                ExpressionAttributeValues=to_item({":key": public_key, ":zero": 0, ":shard": self._shard_of(host_id)}),
            )
        )

    def get(self, host_id: str) -> Host:
        key = to_item({"host_id": host_id})
        found = call(lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True))
        if "Item" not in found:
            raise NotFound("host not found")
        return host_of(from_item(found["Item"]))

    def drain(self, host_id: str, draining: bool) -> None:
        self._change(host_id, "SET draining = :draining", {":draining": draining})

    def note_failure(self, host_id: str, at: datetime) -> None:
        self._change(host_id, "SET failed_at = :at", {":at": at})

    def heartbeat(self, host_id: str, report: HostReport, received_at: datetime) -> None:
        values = {
            # With every beat, so that hosts move by themselves when the number of shards is changed.
            ":shard": self._shard_of(host_id),
            ":report": report.model_dump_json(),
            ":at": received_at,
            ":placeable": report.engine_up and not report.draining,
        }
        beat = "SET report = :report, received_at = :at, placeable = :placeable, state_shard = :shard"
        newer = "attribute_not_exists(received_at) OR received_at <= :at"
        try:
            self._change(host_id, beat, values, newer)
        except NotFound:
            self.get(host_id)

    def _change(self, host_id: str, expression: str, values: Mapping[str, Any], condition: str = "") -> None:
        """NotFound when it is not enrolled, or the further condition does not hold."""
        enrolled = "attribute_exists(host_id)"
        try:
            call(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"host_id": host_id}),
                    UpdateExpression=expression,
                    ConditionExpression=f"{enrolled} AND ({condition})" if condition else enrolled,
                    ExpressionAttributeValues=to_item(values),
                )
            )
        except Conditional:
            raise NotFound("host not enrolled") from None

    def samples(self, choice: Callable[[int], int]) -> Iterator[list[Host]]:
        left = list(range(self._shards))
        while left:
            yield list(self._of_shard(left.pop(choice(len(left)))))

    def candidates(self) -> list[Host]:
        return [host for shard in range(self._shards) for host in self._of_shard(shard)]

    def _of_shard(self, shard: int) -> Iterator[Host]:
        found = all_rows(
            self._client.query,
            TableName=self._table,
            IndexName="by_state",
            KeyConditionExpression="state_shard = :shard",
            ExpressionAttributeValues=to_item({":shard": self._shard(shard)}),
        )
        return (host_of(row) for row in found if "report" in row)

    def _shard_of(self, host_id: str) -> str:
        return self._shard(zlib.crc32(host_id.encode()) % self._shards)

    @staticmethod
    def _shard(number: int) -> str:
        return f"enrolled#{number}"


def host_of(row: Mapping[str, Any]) -> Host:
    """The host in a row."""
    report = row.get("report")
    return Host(
        id=row["host_id"],
        public_key=row["public_key"],
        report=HostReport.model_validate(json.loads(report)) if report else None,
        received_at=row.get("received_at"),
        draining=row.get("draining", False),
        failed_at=row.get("failed_at"),
        reserved=Reserved(**{name: row.get(f"reserved_{name}", 0) for name in _AMOUNTS}),
    )
