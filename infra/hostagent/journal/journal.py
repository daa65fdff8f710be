"""What must not die with the process: intents and events come in, are on disk when the call returns, and come out.

SQLite in WAL mode, synced at every commit. An intent is what the control plane wants of one container; its step and
the events that tell of it are written in one transaction, and the events numbered there. No write but a new intent
replaces the whole row: what one thread does to a container must not undo what a call asked for meanwhile.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from chalicelib.contract.events import AboutContainer
from chalicelib.contract.resources import Resources
from infra.hostagent.journal.intents import Intent, Outgoing, Step
from infra.hostagent.journal.journal_rows import REPLACE, SCHEMA, added_columns, intent_of, values_of
from infra.hostagent.runtime import Runtime

_SELECT = "SELECT * FROM intents WHERE container_id = ?"
_ADVANCE = """
UPDATE intents SET step = ?, cause = ?, engine_id = ?, image = ?, image_digest = ?, changed_at = ?, number = number + ?
WHERE container_id = ?
"""
_TAKE = (
    "UPDATE intents SET step = ?, action = ?, resize = ?, resized = ?, trace = ?, changed_at = ? WHERE container_id = ?"
)
_GRANT = "UPDATE intents SET spec = ?, resize = ?, number = number + ? WHERE container_id = ?"
_COUNT_ON = "UPDATE intents SET number = MAX(number, ?) WHERE container_id = ? AND generation = ?"

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
        self._database.executescript(SCHEMA)
        for statement in added_columns(self._database):
            self._database.execute(statement)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def get(self, container_id: str) -> Intent | None:
        """The intent for a container, if the host has heard of it."""
        rows = self._rows(_SELECT, container_id)
        return intent_of(rows[0]) if rows else None

    def intents(self) -> list[Intent]:
        """All intents, tombstones too."""
        return [intent_of(row) for row in self._rows("SELECT * FROM intents ORDER BY changed_at")]

    def accept(self, intent: Intent) -> None:
        """Write a new intent, or replace an earlier one; events of one generation are numbered on."""
        with self._transaction() as cursor:
            found = _found(cursor, intent)
            if found is not None:
                intent = replace(intent, number=max(found.number, intent.number))
            cursor.execute(REPLACE, values_of(intent))

    def advance(self, intent: Intent, tellings: Sequence[Telling], *, expected: Sequence[Step]) -> Intent | None:
        """Write the intent's step and its numbered events, if it is still in one of the expected steps.

        The intent as written, or None when it has moved on (another generation, or wanted gone): then nothing
        was written and nothing must be told.
        """
        with self._transaction() as cursor:
            found = _found(cursor, intent)
            if found is None or found.step not in expected:
                return None
            cause = intent.cause.model_dump_json() if intent.cause else None
            made_from = (intent.image, intent.image_digest)
            written = (intent.step, cause, intent.engine_id, *made_from, intent.changed_at, len(tellings))
            cursor.execute(_ADVANCE, (*written, intent.container_id))
            _tell(cursor, found, tellings)
            return _found(cursor, intent)

    def count_on(self, container_id: str, generation: int, number: int) -> None:
        """Number further events of this generation from after `number`, which has been told already."""
        with self._transaction() as cursor:
            cursor.execute(_COUNT_ON, (number, container_id, generation))

    def take(self, intent: Intent, *, expected: Sequence[Step]) -> None:
        """Write what a call asks of a container that exists, if it is still in one of the expected steps."""
        with self._transaction() as cursor:
            found = _found(cursor, intent)
            if found is not None and found.step in expected:
                resize = intent.resize.model_dump_json() if intent.resize else None
                cursor.execute(
                    _TAKE,
                    (
                        intent.step,
                        intent.action,
                        resize,
                        intent.resized,
                        intent.trace,
                        intent.changed_at,
                        intent.container_id,
                    ),
                )

    def grant(self, intent: Intent, resources: Resources, telling: Telling) -> None:
        """Write the amounts in force; tell of them, unless other ones have been asked for since."""
        with self._transaction() as cursor:
            found = _found(cursor, intent)
            if found is None or found.spec is None:
                return
            last = found.resize == intent.resize
            spec = found.spec.model_copy(update={"resources": resources}).model_dump_json()
            waiting = None if last or found.resize is None else found.resize.model_dump_json()
            cursor.execute(_GRANT, (spec, waiting, int(last), intent.container_id))
            _tell(cursor, found, [telling] if last else [])

    def outgoing(self, limit: int) -> list[Outgoing]:
        """The oldest events not yet taken by the queue."""
        rows = self._rows("SELECT * FROM outbox ORDER BY id LIMIT ?", limit)
        return [Outgoing(row["id"], row["container_id"], row["identity"], row["event"]) for row in rows]

    def sent(self, outgoing: Sequence[Outgoing]) -> None:
        """The queue has them."""
        with self._transaction() as cursor:
            cursor.executemany("DELETE FROM outbox WHERE id = ?", [(each.row,) for each in outgoing])

    def forget(self, before: float) -> None:
        """Drop tombstones and failures older than this."""
        with self._lock:
            self._database.execute(
                "DELETE FROM intents WHERE step IN (?, ?) AND changed_at < ?", (Step.REMOVED, Step.FAILED, before)
            )

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    return database


def _found(cursor: sqlite3.Cursor, intent: Intent) -> Intent | None:
    """What is written of this container, if it is of the same generation."""
    row = cursor.execute(_SELECT, (intent.container_id,)).fetchone()
    return intent_of(row) if row is not None and row["generation"] == intent.generation else None


def _tell(cursor: sqlite3.Cursor, found: Intent, tellings: Sequence[Telling]) -> None:
    for number, telling in enumerate(tellings, found.number + 1):
        event = telling(number)
        text = event.model_dump_json(exclude_none=True)
        cursor.execute(
            "INSERT INTO outbox (container_id, identity, event) VALUES (?, ?, ?)",
            (found.container_id, _identity(event, text), text),
        )


def _identity(event: AboutContainer, text: str) -> str:
    """By content too: a journal that was lost may use a number again, and the queue must not take that for a repeat."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{digest}:{event.container_id}:{event.generation}:{event.number}"
