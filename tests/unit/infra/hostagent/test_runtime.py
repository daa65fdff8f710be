"""The agent's core on a process of the test's own: its time and threads are what the test says."""

import ast
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import infra.hostagent
from chalicelib.contract.agent_api import ContainerSpec, Removal
from chalicelib.contract.events import parse_event
from infra.hostagent.containers.creation import Creation, Place, Tell
from infra.hostagent.containers.keeper import Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

IMAGE = "debian:bookworm"
CORE = [
    "containers/keeper",
    "containers/creation",
    "containers/switching",
    "containers/resizing",
    "containers/relist",
    "journal/intents",
    "journal/journal",
    "containers/means",
    "journal/tellings",
    "journal/journal_rows",
]


@dataclass
class Cue:
    """A flag of a process with one thread: waiting for it only makes time pass."""

    process: "OneThread"
    given: bool = False

    def is_set(self) -> bool:
        return self.given

    def set(self) -> None:
        self.given = True

    def clear(self) -> None:
        self.given = False

    def wait(self, timeout: float | None = None) -> bool:
        self.process.now += timeout or 0.0
        return self.given


@dataclass
class OneThread:
    """`Runtime` whose work is done when the test says so, one piece after the other, at the time it says."""

    now: float = 1_000_000.0
    queue: deque[Callable[[], None]] = field(default_factory=deque)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def lock(self) -> Any:
        return contextlib.nullcontext()

    def semaphore(self, count: int) -> Any:
        return contextlib.nullcontext()

    def flag(self) -> Cue:
        return Cue(self)

    def spawn(self, work: Callable[[], None]) -> None:
        self.queue.append(work)

    def close(self, seconds: float) -> None:
        self.queue.clear()

    def run(self) -> None:
        while self.queue:
            self.queue.popleft()()


class NoImages:
    """Pulls that never happen."""

    def find(self, spec: ContainerSpec) -> str | None:
        return spec.image

    def wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        raise AssertionError(spec.image)


def keeper_of(process: OneThread, engine: FakeEngine, database: sqlite3.Connection) -> tuple[Keeper, Journal]:
    journal = Journal(database, process)
    means = Means(engine, journal, process, lambda: None, MemoryFiles(), MemoryDisk())
    creation = Creation(means, NoImages(), Place("host", "network", 2, engine_patience_seconds=10))
    return Keeper(means, creation, Policy("host", 10)), journal


def test_work_waits_for_the_process_and_is_taken_up_by_the_next_one() -> None:
    process, engine, database = OneThread(), FakeEngine(present={IMAGE}), sqlite3.connect(":memory:")
    keeper, journal = keeper_of(process, engine, database)
    spec = a_spec(image=IMAGE)

    keeper.accept(spec)
    assert engine.calls == []
    keeper.close()
    keeper, journal = keeper_of(process, engine, database)
    keeper.resume()
    process.run()

    assert journal.intents()[0].step is Step.READY
    events: list[Any] = [parse_event(each.event) for each in journal.outgoing(10)]
    assert {event.at.timestamp() for event in events} == {process.now}
    keeper.remove(Removal(container_id=spec.container_id, user_id=spec.user_id, generation=1))
    process.run()
    assert engine.rows == {}
    database.close()


def test_waiting_for_an_engine_takes_the_process_own_time() -> None:
    process, engine, database = OneThread(), FakeEngine(present={IMAGE}, down=True), sqlite3.connect(":memory:")
    keeper, journal = keeper_of(process, engine, database)
    keeper.accept(a_spec(image=IMAGE))

    process.run()

    assert journal.intents()[0].step is Step.FAILED
    assert 10 <= process.now - 1_000_000.0 <= 12
    database.close()


@pytest.mark.parametrize("module", CORE)
def test_the_core_takes_time_and_threads_from_nowhere_else(module: str) -> None:
    source = (Path(infra.hostagent.__file__).parent / f"{module}.py").read_text()
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
            imported |= {f"{node.module}.{name.name}" for name in node.names}

    assert not imported & {"time", "threading", "concurrent.futures", "random", "uuid"}
    assert "now(" not in source
