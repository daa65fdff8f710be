"""The journal's tables: intents come in and rows go out, and back; older journals get the columns they lack."""

import json
import sqlite3

from chalicelib.contract.agent_api import ContainerSpec, ResizeCall
from chalicelib.contract.causes import Cause
from infra.hostagent.journal.intents import Intent, Step

SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    container_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, generation INTEGER NOT NULL, spec TEXT, step TEXT NOT NULL,
    cause TEXT, engine_id TEXT, deadline REAL NOT NULL, expires_at REAL,
    number INTEGER NOT NULL, changed_at REAL NOT NULL, action TEXT, resize TEXT, resized TEXT, trace TEXT,
    image TEXT, image_digest TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, container_id TEXT NOT NULL, identity TEXT NOT NULL, event TEXT NOT NULL
) STRICT;
"""
_LATER = ("action", "resize", "resized", "trace", "image", "image_digest")
"""Columns that the first journals did not have, all TEXT."""


def added_columns(database: sqlite3.Connection) -> list[str]:
    """Statements that bring a table of an older agent up to date."""
    there = {row["name"] for row in database.execute("PRAGMA table_info(intents)")}
    return [f"ALTER TABLE intents ADD COLUMN {name} TEXT" for name in _LATER if name not in there]


REPLACE = "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""Writes a whole intent over whatever was there; later columns come last, also where they were added."""


def values_of(intent: Intent) -> tuple[object, ...]:
    """The values for it."""
    return (
        intent.container_id,
        intent.user_id,
        intent.generation,
        intent.spec.model_dump_json() if intent.spec else None,
        intent.step.value,
        intent.cause.model_dump_json() if intent.cause else None,
        intent.engine_id,
        intent.deadline,
        intent.expires_at,
        intent.number,
        intent.changed_at,
        intent.action,
        intent.resize.model_dump_json() if intent.resize else None,
        intent.resized,
        intent.trace,
        intent.image,
        intent.image_digest,
    )


def intent_of(row: sqlite3.Row) -> Intent:
    """The intent in a row."""
    return Intent(
        container_id=row["container_id"],
        user_id=row["user_id"],
        generation=row["generation"],
        spec=ContainerSpec.model_validate(json.loads(row["spec"])) if row["spec"] else None,
        step=Step(row["step"]),
        cause=Cause.model_validate(json.loads(row["cause"])) if row["cause"] else None,
        engine_id=row["engine_id"],
        deadline=row["deadline"],
        expires_at=row["expires_at"],
        number=row["number"],
        changed_at=row["changed_at"],
        action=row["action"],
        resize=ResizeCall.model_validate(json.loads(row["resize"])) if row["resize"] else None,
        resized=row["resized"],
        trace=row["trace"] or "",
        image=row["image"],
        image_digest=row["image_digest"],
    )
