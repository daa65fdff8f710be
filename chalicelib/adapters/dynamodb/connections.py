"""Open WebSocket connections in DynamoDB: `ports.ConnectionStore` on the connections table."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.items import epoch, from_item, to_item
from chalicelib.adapters.dynamodb.transactions import Conditional, all_rows, call
from chalicelib.domain.connection import Connection
from chalicelib.domain.errors import NotFound, RateLimited

RETRY_AFTER_SECONDS = 60
"""When a user with too many connections may try again: by then, closed ones have been noticed."""


class DynamoConnections:
    """`ports.ConnectionStore`."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def add(self, connection: Connection, limit: int) -> None:
        """Written first and counted after, so that racing connections may all be refused but never one too many."""
        call(lambda: self._client.put_item(TableName=self._table, Item=to_item(_row(connection))))
        if len(self.of_user(connection.user_id, connection.connected_at)) > limit:
            self.forget(connection)
            raise RateLimited(RETRY_AFTER_SECONDS, error="too many connections")

    def get(self, connection_id: str, now: datetime) -> Connection:
        found = call(
            lambda: self._client.query(
                TableName=self._table,
                IndexName="by_connection",
                KeyConditionExpression="connection_id = :id",
                ExpressionAttributeValues=to_item({":id": connection_id}),
            )
        )
        for item in found["Items"]:
            connection = connection_of(from_item(item))
            if connection.expires_at > now:
                return connection
        raise NotFound("connection not found")

    def of_user(self, user_id: str, now: datetime) -> list[Connection]:
        found = all_rows(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression="user_id = :user",
            ExpressionAttributeValues=to_item({":user": user_id}),
            ConsistentRead=True,
        )
        return [each for each in map(connection_of, found) if each.expires_at > now]

    def mark_listed(self, connection: Connection) -> None:
        if not self._change(connection, "listed", value=True):
            raise NotFound("connection not found")

    def strike(self, connection: Connection, strikes: int) -> None:
        self._change(connection, "strikes", strikes)

    def forget(self, connection: Connection) -> None:
        call(lambda: self._client.delete_item(TableName=self._table, Key=_key(connection)))

    def _change(self, connection: Connection, attribute: str, value: Any) -> bool:
        try:
            call(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=_key(connection),
                    UpdateExpression="SET #attribute = :value",
                    ConditionExpression="attribute_exists(connection_id)",
                    ExpressionAttributeNames={"#attribute": attribute},
                    ExpressionAttributeValues=to_item({":value": value}),
                )
            )
        except Conditional:
            return False
        return True


def _key(connection: Connection) -> dict[str, Any]:
    return to_item({"user_id": connection.user_id, "connection_id": connection.id})


def _row(connection: Connection) -> dict[str, Any]:
    return {
        "user_id": connection.user_id,
        "connection_id": connection.id,
        "tier": connection.tier,
        "token_hash": connection.token_hash,
        "connected_at": connection.connected_at,
        "expires_at": connection.expires_at,
        "ttl": epoch(connection.expires_at),
        "listed": connection.listed,
        "strikes": connection.strikes,
    }


def connection_of(row: Mapping[str, Any]) -> Connection:
    """The connection in a row."""
    return Connection(
        id=row["connection_id"],
        user_id=row["user_id"],
        tier=row["tier"],
        token_hash=row["token_hash"],
        connected_at=datetime.fromisoformat(row["connected_at"]),
        expires_at=datetime.fromisoformat(row["expires_at"]),
        listed=row["listed"],
        strikes=row["strikes"],
    )
