"""What a host tells of all it holds: when, to whom it may be news, and in what portions."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec, Held
from chalicelib.contract.events import Inventory
from chalicelib.contract.signatures import new_private_key, seal
from infra.hostagent.containers.inventories import Inventories
from infra.hostagent.containers.means import Means
from infra.hostagent.engine.docker_engine import described, listed
from infra.hostagent.journal.intents import Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.outbox import QueueUnavailable
from infra.hostagent.ports import EngineDown
from infra.hostagent.profile import profile_of
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles
from tests.unit.infra.hostagent.test_runtime import OneThread

IMAGE = "debian:bookworm"


class Bench:
    """A host that told its first inventory some time ago."""

    def __init__(self) -> None:
        self.process = OneThread()
        self.engine = FakeEngine(present={IMAGE}, now=self.process.time)
        self.database = sqlite3.connect(":memory:")
        self.journal = Journal(self.database, self.process)
        self.inventories = Inventories(
            Means(self.engine, self.journal, self.process, lambda: None, MemoryFiles(), MemoryDisk()),
            "host",
            grace_seconds=300,
            every_seconds=60,
        )
        self.sent: list[Inventory] = []

    def holds(self, *, known: bool = True, age: float = 1000) -> ContainerSpec:
        spec = a_spec(image=IMAGE)
        engine_id = self.engine.create(profile_of(spec, "host", "network", 1))
        profile, container = self.engine.rows[engine_id]
        self.engine.rows[engine_id] = (profile, replace(container, created_at=self.process.now - age))
        if known:
            self.journal.accept(replace(accepted(spec, self.process.now), step=Step.READY))
        return spec

    def after(self, seconds: float) -> list[Held]:
        """What is told after so long."""
        self.process.now += seconds
        self.sent.clear()
        self.inventories.tell(self.sent.append)
        return [held for inventory in self.sent for held in inventory.containers]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.database.close()


def ids(held: list[Held]) -> list[str]:
    return [each.container_id for each in held]


def test_all_that_is_older_than_grace_is_told_at_once_with_what_the_journal_knows(bench: Bench) -> None:
    known, unknown = bench.holds(), bench.holds(known=False)
    bench.holds(known=False, age=200)

    told = bench.after(0)

    assert [(each.container_id, each.step, each.user_id) for each in told] == [
        (known.container_id, "ready", known.user_id),
        (unknown.container_id, None, unknown.user_id),
    ]
    assert {each.age_seconds for each in told} == {1000.0}


def test_what_was_told_is_told_again_only_when_something_changed_or_after_ten_minutes(bench: Bench) -> None:
    one = bench.holds()
    assert ids(bench.after(0)) == [one.container_id]
    assert bench.after(59) == []
    assert bench.after(1) == []

    two = bench.holds()
    assert ids(bench.after(60)) == [one.container_id, two.container_id]
    for _ in range(9):
        assert bench.after(60) == []
    assert ids(bench.after(60)) == [one.container_id, two.container_id]


def test_what_the_journal_does_not_know_is_told_every_time(bench: Bench) -> None:
    bench.holds()
    stray = bench.holds(known=False)
    bench.after(0)

    assert [ids(bench.after(60)) for _ in range(3)] == [[stray.container_id]] * 3


def test_after_a_silence_all_is_told_at_once(bench: Bench) -> None:
    one = bench.holds()
    bench.after(0)

    bench.inventories.hurry()

    assert ids(bench.after(1)) == [one.container_id]


def test_a_generation_that_the_journal_does_not_know_is_told_as_unknown(bench: Bench) -> None:
    spec = bench.holds()
    newer = spec.model_copy(update={"generation": 2})
    bench.engine.create(profile_of(newer, "host", "network", 1))

    steps = {each.generation: each.step for each in bench.inventories.holdings().containers}

    assert steps == {1: "ready", 2: None}


@pytest.mark.parametrize("fault", ["engine", "queue"])
def test_what_could_not_be_told_is_told_soon_after(bench: Bench, fault: str) -> None:
    one = bench.holds()

    def refuse(_inventory: Inventory) -> None:
        raise QueueUnavailable("Throttling")

    bench.engine.down = fault == "engine"
    with pytest.raises((EngineDown, QueueUnavailable)):
        bench.inventories.tell(refuse)
    bench.engine.down = False

    assert bench.after(5) == []
    assert ids(bench.after(5)) == [one.container_id]


def test_no_message_is_too_large_for_the_queue(bench: Bench) -> None:
    for _ in range(1500):
        bench.holds(known=False)

    told = bench.after(0)

    assert len(told) == 1500
    key = new_private_key()
    sizes = [len(seal(inventory, "host", key).encode()) for inventory in bench.sent]
    assert len(sizes) > 1
    assert max(sizes) < 200_000


def inspected(**labels: str) -> dict[str, Any]:
    state = {"Running": True, "ExitCode": 0, "Status": "running", "FinishedAt": "0001-01-01T00:00:00Z"}
    created = "2026-05-04T12:00:00.123456789Z"
    same = {"Id": "f" * 64, "Name": "/berth-c-2-7", "Created": created}
    return same | {"State": state, "Config": {"Labels": labels}, "HostConfig": {"NetworkMode": "none"}}


@pytest.mark.parametrize("container_id", ["", "a/b", "x" * 65, "ü", "a b", "../x"])
def test_an_id_that_cannot_be_called_by_gets_another(container_id: str) -> None:
    found = described(inspected(**{"berth.container": container_id, "berth.generation": "no", "berth.user": "x" * 999}))

    assert (found.container_id, found.generation, found.user_id) == ("stray-" + "f" * 32, 1, "")


def test_what_labels_say_is_taken_over_when_it_can_be_so() -> None:
    found = described(inspected(**{"berth.container": "c-1", "berth.generation": "3", "berth.user": "auth0|u 1"[:7]}))

    assert (found.container_id, found.generation, found.user_id) == ("c-1", 3, "auth0|u")


@pytest.mark.parametrize(
    ("name", "whose"), [("/berth-c-2-7", ("c-2", 7, False)), ("/berth-warm-1-1", ("warm-1", 1, True)), ("/x", None)]
)
def test_of_what_was_made_ahead_the_name_alone_says_whose_it_is(name: str, whose: tuple[str, int, bool] | None) -> None:
    labels = {"berth.blank": "berth-warm-1-1", "berth.container": "c-1", "berth.generation": "3"}

    found = described(inspected(**labels) | {"Name": name})

    assert found.blank == "berth-warm-1-1"
    assert (found.container_id, found.generation, found.unclaimed) == (whose or ("stray-" + "f" * 32, 1, False))
    for other in ("", "../../etc", "berth-warm-1-1/..", "berth-c-1"):
        assert described(inspected(**labels | {"berth.blank": other}) | {"Name": name}).blank == ""
    plain = described(inspected(**{"berth.container": "warm-1", "berth.generation": "1"}) | {"Name": name})
    assert not plain.unclaimed


@pytest.mark.parametrize("state", ["running", "created"])
def test_a_row_of_the_engines_list_is_enough_for_what_runs_or_has_not_run_yet(state: str) -> None:
    labels = {"berth.container": "c", "berth.generation": "2", "berth.user": "u"}
    card = {"MacAddress": "02:00:00:00:00:01", "IPAddress": "172.30.0.2"}
    row = {
        "Id": "f" * 64,
        "State": state,
        "Created": 1_777_896_000,
        "Labels": labels,
        "HostConfig": {"NetworkMode": "container:" + "e" * 64},
        "NetworkSettings": {"Networks": {"n": card}},
    }

    found = listed(row)

    assert found is not None
    assert (found.container_id, found.generation, found.user_id, found.holder) == ("c", 2, "u", "e" * 64)
    assert (found.running, found.ever_ran, found.created_at) == (state == "running", state == "running", 1_777_896_000)
    assert (found.finished_at, found.going) == (None, False)
    assert found.attachment is not None
    assert found.attachment.address == "172.30.0.2"


@pytest.mark.parametrize("state", ["exited", "paused", "removing", "dead", "restarting"])
def test_a_row_says_too_little_of_everything_else(state: str) -> None:
    assert listed({"State": state}) is None
