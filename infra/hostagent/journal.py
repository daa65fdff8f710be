"""What must not die with the process: intents and events come in, are on disk when the call returns, and come out.

SQLite in WAL mode, synced at every commit. An intent is what the control plane wants of one container; its step and
the events that tell of it are written in one transaction, and the events numbered there.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Cause
from chalicelib.contract.events import AboutContainer
from infra.hostagent.runtime import Runtime

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    container_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, generation INTEGER NOT NULL, spec TEXT, step TEXT NOT NULL,
    cause TEXT, engine_id TEXT, deadline REAL NOT NULL, expires_at REAL,
    number INTEGER NOT NULL, changed_at REAL NOT NULL, action TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, container_id TEXT NOT NULL, identity TEXT NOT NULL, event TEXT NOT NULL
) STRICT;
"""
_STATE = "SELECT step, generation, number FROM intents WHERE container_id = ?"
_REPLACE = "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Step(StrEnum):
    """How far an intent is; `removing` and `removed` are for good (the tombstone)."""

    ACCEPTED = "accepted"
    CREATED = "created"
    STARTED = "started"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING_AGAIN = "starting_again"
    RESTARTING = "restarting"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


CREATING = (Step.ACCEPTED, Step.CREATED, Step.STARTED)
SWITCHING = (Step.STOPPING, Step.STARTING_AGAIN, Step.RESTARTING)
GONE = (Step.REMOVING, Step.REMOVED)


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of one container and how far that is; times in seconds since the epoch."""

    container_id: str
    user_id: str
    generation: int
    spec: ContainerSpec | None
    step: Step
    cause: Cause | None
    engine_id: str | None
    deadline: float
    expires_at: float | None
    number: int
    changed_at: float
    action: str | None = None
    """The last start, stop or restart taken."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event waiting for the queue; `identity` is the same however often it is sent."""

    row: int
    container_id: str
    identity: str
    event: str


Telling = Callable[[int], AboutContainer]
"""Makes an event, given its number."""


class Journal:
    """Intents and outgoing events on disk. Safe to use from many threads."""

    def __init__(self, where: Path | sqlite3.Connection, runtime: Runtime) -> None:
        """In a file; or in a database that is open already, which is for simulations, where nothing need be synced."""
        self._lock = runtime.lock()
        self._database = where if isinstance(where, sqlite3.Connection) else _opened(where)
        self._database.row_factory = sqlite3.Row
        self._database.isolation_level = None
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def get(self, container_id: str) -> Intent | None:
        """The intent for a container, if the host has heard of it."""
        rows = self._rows("SELECT * FROM intents WHERE container_id = ?", container_id)
        return _intent(rows[0]) if rows else None

    def intents(self) -> list[Intent]:
        """All intents, tombstones too."""
        return [_intent(row) for row in self._rows("SELECT * FROM intents ORDER BY changed_at")]

    def accept(self, intent: Intent) -> None:
        """Write a new intent, or replace an earlier one; events of one generation are numbered on."""
        with self._lock, closing(self._database.cursor()) as cursor:
            found = cursor.execute(_STATE, (intent.container_id,)).fetchone()
            if found is not None and found["generation"] == intent.generation:
                intent = replace(intent, number=found["number"])
            cursor.execute(_REPLACE, _values(intent))

    def advance(self, intent: Intent, tellings: Sequence[Telling], *, expected: Sequence[Step]) -> Intent | None:
        """Write the intent's step and its numbered events, if it is still in one of the expected steps.

        The intent as written, or None when it has moved on (another generation, or wanted gone): then nothing
        was written and nothing must be told.
        """
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                found = cursor.execute(_STATE, (intent.container_id,)).fetchone()
                if found is None or found["generation"] != intent.generation or found["step"] not in expected:
                    cursor.execute("ROLLBACK")
                    return None
                written = replace(intent, number=found["number"] + len(tellings))
                cursor.execute(_REPLACE, _values(written))
                for number, telling in enumerate(tellings, found["number"] + 1):
                    event = telling(number)
                    cursor.execute(
                        "INSERT INTO outbox (container_id, identity, event) VALUES (?, ?, ?)",
                        (intent.container_id, _identity(event), event.model_dump_json(exclude_none=True)),
                    )
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
        return written

    def outgoing(self, limit: int) -> list[Outgoing]:
        """The oldest events not yet taken by the queue."""
        rows = self._rows("SELECT * FROM outbox ORDER BY id LIMIT ?", limit)
        return [Outgoing(row["id"], row["container_id"], row["identity"], row["event"]) for row in rows]

    def sent(self, outgoing: Outgoing) -> None:
        """The queue has it."""
        with self._lock:
            self._database.execute("DELETE FROM outbox WHERE id = ?", (outgoing.row,))

    def forget(self, before: float) -> None:
        """Drop tombstones and failures older than this."""
        with self._lock:
            self._database.execute(
                "DELETE FROM intents WHERE step IN (?, ?) AND changed_at < ?", (Step.REMOVED, Step.FAILED, before)
            )

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def _identity(event: AboutContainer) -> str:
    return f"{event.container_id}:{event.generation}:{event.number}"


def _values(intent: Intent) -> tuple[object, ...]:
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
    )


def _intent(row: sqlite3.Row) -> Intent:
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
    )
