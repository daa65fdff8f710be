"""A user's rows in the containers table: records and names come in, rows and their values go out, and back.

By `sk`: `container#<id>`, `name#<name>`, `quota`, `idem#<SHA-256 of the key>` and `rate#<minute>`.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.items import instant
from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.domain.container import Container

DUE_SHARDS = 16

RECORDS, NAMES, QUOTA = "container#", "name#", "quota"

MARK = "written_by"
"""The member of a record that tells its last change from every other."""

_ALIAS = re.compile(r"#(\w+)")


@dataclass(frozen=True, slots=True)
class UserRows:
    """Rows of one table, by whose and what they are."""

    table: str

    def record(self, container: Container) -> Row:
        return self._row(container.user_id, f"{RECORDS}{container.id}")

    def change(
        self,
        container: Container,
        sets: str,
        condition: str,
        arguments: Mapping[str, Any],
        mark: str,
        remove: str = "",
    ) -> dict[str, Any]:
        """A change of some members of the record; members with reserved names are written `#name`."""
        removing = f" REMOVE {remove}" if remove else ""
        names = {f"#{name}": name for name in _ALIAS.findall(f"{sets} {condition}")}
        return self.record(container).update(
            f"SET {sets}, {MARK} = :mark{removing} ADD version :one",
            condition,
            {**arguments, ":mark": mark, ":one": 1},
            names,
        )

    def name(self, container: Container) -> Row:
        return self._row(container.user_id, f"{NAMES}{container.name}")

    def quota(self, user_id: str) -> Row:
        return self._row(user_id, QUOTA)

    def key(self, user_id: str, key: str) -> Row:
        return self._row(user_id, f"idem#{hashlib.sha256(key.encode()).hexdigest()}")

    def minute(self, user_id: str, at: datetime) -> Row:
        """The row that counts the creations asked for in this minute."""
        return self._row(user_id, f"rate#{instant(at)[:16]}")

    def releases(self, container: Container) -> list[dict[str, Any]]:
        """Name and quota given back, each exactly once: both conditions hold for every live record (I5, I6)."""
        return [
            self.name(container).delete("container_id = :id", {":id": container.id}),
            self.quota(container.user_id).update("ADD live :less", "live > :zero", {":less": -1, ":zero": 0}),
        ]

    def _row(self, user_id: str, sk: str) -> Row:
        return Row(self.table, {"user_id": user_id, "sk": sk})


def due_shard(container_id: str) -> int:
    """The part of the due index that holds this container."""
    return zlib.crc32(container_id.encode()) % DUE_SHARDS


def next_version(container: Container, **changes: Any) -> Container:
    """The record with these changes, as the next version."""
    return container.model_copy(update={**changes, "version": container.version + 1})


def values_of(container: Container) -> dict[str, Any]:
    """A record as plain values, with the members that put it in the sparse indexes."""
    values = container.model_dump(mode="python", exclude_none=True)
    for field in ("status", "wanted", "stage", "network_mode"):
        if field in values:
            values[field] = getattr(container, field).value
    for field in ("error", "stopped_because", "deleted_because", "shell", "pending_power", "pending_resize"):
        if field in values:
            values[field] = getattr(container, field).model_dump(mode="json", exclude_none=True)
    if container.due_at is not None:
        values["due_shard"] = due_shard(container.id)
    return values


def record_of(row: Mapping[str, Any]) -> Container:
    """The record in a row."""
    return Container.model_validate(row)
