"""Admitting containers: a new record comes in, one transaction takes it in or says what is in the way."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.adapters.dynamodb.items import epoch, from_item, instant, to_item
from chalicelib.adapters.dynamodb.rows import UserRows, values_of
from chalicelib.adapters.dynamodb.transactions import Conditional, Refusal, call, transact
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy, KeyReused, LimitReached, NameTaken, RateLimited
from chalicelib.ports import IdempotencyKey, Rate, Replayed

KEY_KEPT = timedelta(hours=24)
"""How long an idempotency key is known (api-contract)."""

_RATE_KEPT = timedelta(minutes=5)
_RECORD, _NAME, _QUOTA, _RATE, _KEY = range(5)
"""Places of the writes in the transaction, and of their reasons when it is refused."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Record, name, quota, rate and key, in one transaction (ADR 0001)."""

    client: Any
    rows: UserRows

    def admit(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, answer: dict[str, Any]
    ) -> Replayed | None:
        """None when taken in, Replayed when the key is known; the errors of `ContainerStore.create` otherwise."""
        writes = [
            self.rows.record(new).put(values_of(new), "attribute_not_exists(sk)"),
            self.rows.name(new).put({"container_id": new.id}, "attribute_not_exists(sk)"),
            self.rows.quota(new.user_id).update(
                "ADD live :one", "attribute_not_exists(live) OR live < :limit", {":one": 1, ":limit": limit}
            ),
            self._charge(new.user_id, rate, new.created_at),
        ]
        if key is not None:
            writes.append(self._remember(new, key, answer))
        refusal = transact(self.client, writes, new.id)
        if refusal is None or refusal.found[_RECORD].get("id") == new.id:
            return None
        return self._refused(new, limit, rate, key, refusal)

    def charge(self, user_id: str, rate: Rate, at: datetime) -> None:
        """Count one refused creation, or RateLimited."""
        charge = self._charge(user_id, rate, at)["Update"]
        try:
            call(lambda: self.client.update_item(**charge))
        except Conditional:
            raise _too_many(rate, self._minute(user_id, at), at) from None

    def _refused(
        self, new: Container, limit: int, rate: Rate, key: IdempotencyKey | None, refusal: Refusal
    ) -> Replayed:
        """The reason that counts, in the port's order; a refused attempt is charged to the rate all the same."""
        if key is not None and refusal.failed[_KEY]:
            return _replay(key, refusal.found[_KEY])
        if refusal.failed[_RATE]:
            raise _too_many(rate, refusal.found[_RATE], new.created_at)
        self.charge(new.user_id, rate, new.created_at)
        if refusal.failed[_QUOTA]:
            raise LimitReached(int(refusal.found[_QUOTA].get("live", limit)), limit, new.tier)
        if refusal.failed[_NAME]:
            raise NameTaken(new.name)
        raise Busy("the store refused for no reason we know")

    def _remember(self, new: Container, key: IdempotencyKey, answer: dict[str, Any]) -> dict[str, Any]:
        ends = new.created_at + KEY_KEPT
        values = {
            "request_hash": key.request_hash,
            "answer": json.dumps(answer),
            "expires_at": ends,
            "ttl": epoch(ends),
        }
        unknown = "attribute_not_exists(sk) OR expires_at < :now"
        return self.rows.key(new.user_id, key.key).put(values, unknown, {":now": new.created_at})

    def _charge(self, user_id: str, rate: Rate, at: datetime) -> dict[str, Any]:
        second = f"s{_second_of(at):02d}"
        return self.rows.minute(user_id, at).update(
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

    def _minute(self, user_id: str, at: datetime) -> dict[str, Any]:
        row = self.rows.minute(user_id, at)
        found = call(lambda: self.client.get_item(TableName=row.table, Key=to_item(row.key), ConsistentRead=True))
        return from_item(found.get("Item", {}))


def _replay(key: IdempotencyKey, row: Mapping[str, Any]) -> Replayed:
    if row.get("request_hash") != key.request_hash:
        raise KeyReused
    return Replayed(json.loads(row["answer"]))


def _too_many(rate: Rate, row: Mapping[str, Any], at: datetime) -> RateLimited:
    minute_full = int(row.get("asked", 0)) >= rate.per_minute
    return RateLimited(60 - _second_of(at) if minute_full else 1)


def _second_of(at: datetime) -> int:
    return int(instant(at)[17:19])
