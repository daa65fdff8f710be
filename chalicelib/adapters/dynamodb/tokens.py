"""Tokens, tickets and guests in DynamoDB: `ports.TokenStore` on the tokens table, by hashes alone."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from chalicelib.adapters.dynamodb.items import epoch, from_item, instant, to_item
from chalicelib.adapters.dynamodb.transactions import Conditional, call
from chalicelib.domain.errors import NotFound, RateLimited
from chalicelib.domain.identity import Scope, Token

_TOKEN = "token"  # noqa: S105 - the kind of a row
_TICKET = "ticket"


class DynamoTokens:
    """`ports.TokenStore`."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def by_hash(self, token_hash: str) -> Token:
        row = self._read(token_hash)
        if row.get("kind") != _TOKEN:
            raise NotFound("token not found")
        return _token(row)

    def add(self, token: Token) -> None:
        row = {
            "token_hash": token.hash,
            "kind": _TOKEN,
            "token_id": token.id,
            "user_id": token.user_id,
            "tier": token.tier,
            "scopes": [scope.value for scope in token.scopes],
            "name": token.name,
            "prefix": token.prefix,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "ttl": token.expires_at and epoch(token.expires_at + timedelta(days=1)),
            "revoked": token.revoked,
            "suspended": token.suspended,
            "guest": token.guest,
        }
        call(lambda: self._client.put_item(TableName=self._table, Item=to_item(row)))

    def of_user(self, user_id: str) -> list[Token]:
        found = call(
            lambda: self._client.query(
                TableName=self._table,
                IndexName="by_user",
                KeyConditionExpression="user_id = :user",
                ExpressionAttributeValues=to_item({":user": user_id}),
            )
        )
        tokens = [_token(from_item(item)) for item in found["Items"]]
        return sorted((each for each in tokens if not each.revoked), key=lambda each: each.created_at, reverse=True)

    def revoke(self, user_id: str, token_id: str) -> Token:
        for token in self.of_user(user_id):
            if token.id == token_id:
                self._mark_revoked(token)
                return token
        raise NotFound("token not found")

    def _mark_revoked(self, token: Token) -> None:
        try:
            call(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"token_hash": token.hash}),
                    UpdateExpression="SET revoked = :true",
                    ConditionExpression="revoked = :false",
                    ExpressionAttributeValues=to_item({":true": True, ":false": False}),
                )
            )
        except Conditional:
            raise NotFound("token not found") from None

    def add_ticket(self, ticket_hash: str, token_hash: str, expires_at: datetime) -> None:
        row = {
            "token_hash": ticket_hash,
            "kind": _TICKET,
            "stands_for": token_hash,
            "expires_at": expires_at,
            "ttl": epoch(expires_at),
        }
        call(lambda: self._client.put_item(TableName=self._table, Item=to_item(row)))

    def take_ticket(self, ticket_hash: str, now: datetime) -> str:
        try:
            taken = call(
                lambda: self._client.delete_item(
                    TableName=self._table,
                    Key=to_item({"token_hash": ticket_hash}),
                    ConditionExpression="kind = :ticket AND expires_at > :now",
                    ExpressionAttributeValues=to_item({":ticket": _TICKET, ":now": now}),
                    ReturnValues="ALL_OLD",
                )
            )
        except Conditional:
            raise NotFound("ticket not found") from None
        return str(from_item(taken["Attributes"])["stands_for"])

    def count_guest(self, address_hash: str, limit: int, at: datetime) -> None:
        midnight = datetime.combine(at.date() + timedelta(days=1), time(), at.tzinfo)
        try:
            call(
                lambda: self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"token_hash": f"guests#{address_hash}#{instant(at)[:10]}"}),
                    UpdateExpression="ADD guests :one SET #ttl = :ttl",
                    ConditionExpression="attribute_not_exists(guests) OR guests < :limit",
                    ExpressionAttributeNames={"#ttl": "ttl"},
                    ExpressionAttributeValues=to_item({":one": 1, ":limit": limit, ":ttl": epoch(midnight)}),
                )
            )
        except Conditional:
            raise RateLimited(max(1, int((midnight - at).total_seconds()))) from None

    def _read(self, token_hash: str) -> dict[str, Any]:
        key = to_item({"token_hash": token_hash})
        found = call(lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True))
        return from_item(found.get("Item", {}))


def _token(row: Mapping[str, Any]) -> Token:
    expires_at = row.get("expires_at")
    return Token(
        hash=row["token_hash"],
        id=row["token_id"],
        user_id=row["user_id"],
        tier=row["tier"],
        scopes=tuple(Scope(scope) for scope in row["scopes"]),
        name=row["name"],
        prefix=row["prefix"],
        created_at=datetime.fromisoformat(row["created_at"]),
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
        revoked=row["revoked"],
        suspended=row["suspended"],
        guest=row["guest"],
    )
