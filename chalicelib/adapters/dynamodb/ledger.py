"""All rows of all tables: nothing comes in, records, names, counters and the rest go out (`ports.Ledger`).

It scans, and only the operator's command does so (ADR 0008): no function is allowed to.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.connections import connection_of
from chalicelib.adapters.dynamodb.hosts import host_of
from chalicelib.adapters.dynamodb.rows import NAMES, QUOTA, RECORDS, UserRows, record_of
from chalicelib.adapters.dynamodb.transactions import all_rows, transact
from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.domain.books import Entry, NameRow
from chalicelib.domain.connection import Connection
from chalicelib.domain.container import Container
from chalicelib.domain.errors import StaleWrite
from chalicelib.domain.host import Host, Reserved


class DynamoLedger:
    """`ports.Ledger`; `tables` gives the full name of each table by its short one."""

    def __init__(self, client: Any, tables: Mapping[str, str]) -> None:
        self._client = client
        self._tables = tables
        self._rows = UserRows(tables["containers"])

    def records(self) -> list[Container]:
        return [record_of(row) for row in self._of_users(RECORDS)]

    def names(self) -> list[NameRow]:
        rows = self._of_users(NAMES)
        return [NameRow(row["user_id"], row["sk"].removeprefix(NAMES), row["container_id"]) for row in rows]

    def counters(self) -> dict[str, int]:
        return {row["user_id"]: row.get("live", 0) for row in self._of_users(QUOTA)}

    def hosts(self) -> list[Host]:
        return [host_of(row) for row in self._scan("hosts")]

    def connections(self) -> list[Connection]:
        return [connection_of(row) for row in self._scan("connections")]

    def entries(self) -> list[Entry]:
        wanted = {
            "ProjectionExpression": "container_id, seq, #at",
            "ExpressionAttributeNames": {"#at": "timestamp"},
        }
        rows = self._scan("events", **wanted)
        return [Entry(row["container_id"], row["seq"], datetime.fromisoformat(row["timestamp"])) for row in rows]

    def recount(self, user_id: str, found: int, live: int) -> None:
        same = "live = :found" if found else "live = :found OR attribute_not_exists(live)"
        self._write(self._rows.quota(user_id).update("SET live = :live", same, {":live": live, ":found": found}))

    def drop_name(self, row: NameRow) -> None:
        name = Row(self._tables["containers"], {"user_id": row.user_id, "sk": f"{NAMES}{row.name}"})
        record = Row(self._tables["containers"], {"user_id": row.user_id, "sk": f"{RECORDS}{row.container_id}"})
        self._write(
            name.delete("container_id = :id", {":id": row.container_id}),
            record.check(
                "attribute_not_exists(sk) OR #status IN (:deleting, :deleted) OR #name <> :name",
                {":deleting": "deleting", ":deleted": "deleted", ":name": row.name},
                {"#status": "status", "#name": "name"},
            ),
        )

    def hold_name(self, container: Container) -> None:
        self._write(
            self._rows.name(container).put({"container_id": container.id}, "attribute_not_exists(sk)"),
            self._rows.record(container).check("version = :version", {":version": container.version}),
        )

    def reserve(self, host_id: str, found: Reserved, held: Reserved) -> None:
        before, after = found.model_dump(), held.model_dump()
        change = Row(self._tables["hosts"], {"host_id": host_id}).update(
            "SET " + ", ".join(f"reserved_{name} = :{name}" for name in after),
            " AND ".join(f"reserved_{name} = :was_{name}" for name in before),
            {
                **{f":{name}": amount for name, amount in after.items()},
                **{f":was_{name}": amount for name, amount in before.items()},
            },
        )
        self._write(change)

    def _write(self, *writes: dict[str, Any]) -> None:
        if transact(self._client, writes) is not None:
            raise StaleWrite("what was found is no longer so")

    def _of_users(self, kind: str) -> Iterator[dict[str, Any]]:
        return self._scan(
            "containers",
            FilterExpression="begins_with(sk, :kind)",
            ExpressionAttributeValues={":kind": {"S": kind}},
        )

    def _scan(self, table: str, **options: Any) -> Iterator[dict[str, Any]]:
        return all_rows(self._client.scan, TableName=self._tables[table], ConsistentRead=True, **options)
