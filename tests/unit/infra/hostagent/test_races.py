"""The keeper where two things happen at once: deletes that meet silent pulls, late creates, looks at old lists."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec, Removal
from chalicelib.contract.events import parse_event
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import CallRefused, Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import Intent, Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.tellings import telling
from infra.hostagent.ports import EngineContainer, EngineImage, Ran
from infra.hostagent.profile import profile_of
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

IMAGE = "debian:bookworm"
HOST = "host"

Hook = Callable[[], None]


@dataclass
class HookedEngine(FakeEngine):
    """Does what the test hands it in the middle of a call, once; a pull of `silent:1` says nothing till released."""

    during: dict[str, Hook] = field(default_factory=dict)
    speak: threading.Event = field(default_factory=threading.Event)

    def _in(self, name: str) -> None:
        self.during.pop(name, lambda: None)()

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        self._called("pull")
        self._in("pull")
        self.speak.wait(30)
        yield from super().pull(reference)

    def image(self, reference: str) -> EngineImage | None:
        self._in("image")
        return super().image(reference)

    def start(self, engine_id: str) -> None:
        self._in("start")
        super().start(engine_id)

    def run(self, engine_id: str, *how: Any, **more: Any) -> Ran:
        self._in("run")
        return super().run(engine_id, *how, **more)

    def create(self, profile: Any) -> str:
        self._in("create")
        engine_id = super().create(profile)
        self._in("created")
        return engine_id

    def of_host(self, host_id: str) -> list[EngineContainer]:
        found = super().of_host(host_id)
        self._in("of_host")
        return found


class Bench:
    def __init__(self, folder: Path, engine: HookedEngine | None = None) -> None:
        self.engine = engine or HookedEngine(present={IMAGE}, remote={"slow:1"})
        runtime = ThreadRuntime()
        self.journal = Journal(folder / "journal", runtime)
        self.means = Means(self.engine, self.journal, runtime, lambda: None, MemoryFiles(), MemoryDisk())
        pulls = Pulls(self.engine, parallel=1, seconds=60)
        place = Place(HOST, "network", 2, engine_patience_seconds=30)
        self.creation = Creation(self.means, pulls, place)
        self.keeper = Keeper(self.means, self.creation, Policy(HOST, 100))

    def close(self) -> None:
        self.engine.speak.set()
        self.keeper.close()

    def intent(self, spec: ContainerSpec) -> Intent:
        found = self.journal.get(spec.container_id)
        assert found is not None
        return found

    def until(self, spec: ContainerSpec, step: Step, seconds: float = 3) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found = self.journal.get(spec.container_id)
            if found is not None and found.step is step:
                return
            time.sleep(0.005)
        raise AssertionError(f"not {step} but {self.journal.get(spec.container_id)}")

    def ready(self, **fields: Any) -> ContainerSpec:
        spec = a_spec(image=IMAGE, **fields)
        self.keeper.accept(spec)
        self.until(spec, Step.READY)
        return spec

    def delete(self, spec: ContainerSpec) -> None:
        removal = Removal(container_id=spec.container_id, user_id=spec.user_id, generation=spec.generation)
        self.keeper.remove(removal)

    def kinds(self, spec: ContainerSpec) -> list[str]:
        events: list[Any] = [parse_event(each.event) for each in self.journal.outgoing(1000)]
        ours = [event for event in events if event.container_id == spec.container_id]
        assert [event.number for event in ours] == list(range(1, len(ours) + 1))
        return [event.kind for event in ours]

    def on_engine(self) -> list[tuple[str, int]]:
        return [(each.container_id, each.generation) for each in FakeEngine.of_host(self.engine, HOST)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_a_delete_does_not_wait_for_a_registry_that_says_nothing(bench: Bench) -> None:
    spec = a_spec(image="slow:1")
    bench.keeper.accept(spec)
    began = time.monotonic()
    bench.delete(spec)

    bench.until(spec, Step.REMOVED)

    assert time.monotonic() - began < 2
    assert bench.kinds(spec)[-1] == "removed"


def test_a_silent_registry_holds_up_nobody_elses_pull(bench: Bench) -> None:
    silent = a_spec(image="silent:1")
    bench.keeper.accept(silent)
    time.sleep(0.05)
    bench.delete(silent)
    bench.until(silent, Step.REMOVED)
    bench.engine.speak.set()

    spec = a_spec(image="slow:1")
    bench.keeper.accept(spec)

    bench.until(spec, Step.READY)


@pytest.mark.parametrize("moment", ["image", "create", "created", "start", "run"])
def test_a_delete_in_the_middle_of_any_call_to_the_engine_wins(bench: Bench, moment: str) -> None:
    spec = a_spec(image=IMAGE)
    bench.engine.during[moment] = lambda: bench.delete(spec)

    bench.keeper.accept(spec)

    bench.until(spec, Step.REMOVED)
    assert bench.kinds(spec)[-1] == "removed"
    assert "ready" not in bench.kinds(spec)
    assert bench.on_engine() == []


@pytest.mark.parametrize("moment", ["image", "create", "created", "start", "run"])
def test_a_newer_generation_in_the_middle_of_any_call_is_the_one_that_stays(bench: Bench, moment: str) -> None:
    old = a_spec(image=IMAGE)
    new = old.model_copy(update={"generation": 2})
    bench.engine.during[moment] = lambda: bench.keeper.accept(new)

    bench.keeper.accept(old)

    bench.until(new, Step.READY)
    bench.keeper.relist.look()
    assert bench.on_engine() == [(new.container_id, 2)]


def test_a_container_that_appears_after_its_removal_is_removed_by_the_next_look(bench: Bench) -> None:
    spec = bench.ready()
    bench.delete(spec)
    bench.until(spec, Step.REMOVED)
    bench.engine.create(profile_of(spec, HOST, "network", 2))  # a create whose answer was lost, done late

    bench.keeper.relist.look()

    assert bench.on_engine() == []


def test_a_look_at_an_old_failure_does_not_remove_the_try_that_followed_it(bench: Bench) -> None:
    old = a_spec(image="nowhere:1")
    bench.engine.speak.set()
    bench.keeper.accept(old)
    bench.until(old, Step.FAILED)
    new = old.model_copy(update={"generation": 2, "image": IMAGE})
    list_now = FakeEngine.of_host

    class Late(HookedEngine):
        def of_host(self, host_id: str) -> list[EngineContainer]:
            if "once" in self.during:
                self._in("once")
            return list_now(self, host_id)

    def retried() -> None:
        bench.keeper.accept(new)
        bench.until(new, Step.READY)

    bench.engine.__class__ = Late
    bench.engine.during["once"] = retried

    bench.keeper.relist.look()

    assert bench.on_engine() == [(new.container_id, 2)]


def test_a_restart_that_a_look_falls_into_is_not_told_as_an_end(bench: Bench) -> None:
    spec = bench.ready()
    engine_id = str(bench.intent(spec).engine_id)

    def restarted_meanwhile() -> None:
        intent = bench.intent(spec)
        bench.engine.start(engine_id)
        stopped = replace(intent, step=Step.STARTING_AGAIN)
        bench.journal.advance(stopped, [_told(intent)], expected=[Step.READY])
        bench.journal.advance(replace(stopped, step=Step.READY), [_told(intent)], expected=[Step.STARTING_AGAIN])

    bench.engine.die(engine_id, 143)
    bench.engine.during["of_host"] = restarted_meanwhile

    bench.keeper.relist.look()

    assert bench.intent(spec).step is Step.READY
    assert "stopped" not in bench.kinds(spec)


def _told(intent: Intent) -> Any:
    from chalicelib.contract.events import Progress
    from chalicelib.contract.statuses import Stage

    return telling(Progress, intent, time.time(), stage=Stage.STARTING, progress=75, message="m")


def test_of_a_create_and_a_delete_at_once_the_delete_wins(bench: Bench) -> None:
    for _ in range(60):
        spec = a_spec(image=IMAGE)
        together = threading.Barrier(2)

        def create(spec: ContainerSpec = spec, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                bench.keeper.accept(spec)
            except CallRefused:
                return

        def delete(spec: ContainerSpec = spec, together: threading.Barrier = together) -> None:
            together.wait()
            bench.delete(spec)

        threads = [threading.Thread(target=work) for work in (create, delete)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bench.until(spec, Step.REMOVED)
    time.sleep(0.1)

    assert {intent.step for intent in bench.journal.intents()} == {Step.REMOVED}
    assert bench.on_engine() == []


def test_a_session_without_an_end_does_not_inherit_one_from_an_earlier_generation(bench: Bench) -> None:
    old = bench.ready(expires_in_seconds=0.05)
    new = old.model_copy(update={"generation": 2, "expires_in_seconds": None})
    bench.keeper.accept(new)
    bench.until(new, Step.READY)
    time.sleep(0.1)

    bench.keeper.expire()

    assert bench.intent(new).step is Step.READY


def test_whoever_comes_first_takes_the_last_place(bench: Bench, tmp_path: Path) -> None:
    bench.keeper = Keeper(bench.means, bench.creation, Policy(HOST, max_containers=3))
    taken: list[ContainerSpec] = []

    def create() -> None:
        spec = a_spec(image=IMAGE)
        try:
            bench.keeper.accept(spec)
        except CallRefused:
            return
        taken.append(spec)

    threads = [threading.Thread(target=create) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 3


@pytest.mark.parametrize("moment", ["image", "create", "created", "start", "run"])
def test_a_creation_that_a_clean_stop_falls_into_is_finished_by_the_next_process(
    bench: Bench, tmp_path: Path, moment: str
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def stopped_here() -> None:
        reached.set()
        go_on.wait(5)

    bench.engine.during[moment] = stopped_here
    spec = a_spec(image=IMAGE)
    bench.keeper.accept(spec)
    assert reached.wait(5)
    threading.Timer(0.05, go_on.set).start()
    bench.keeper.close()
    bench.journal.close()
    time.sleep(0.15)  # whatever a thread of the old process still does, it has done by now

    again = Bench(tmp_path, bench.engine)
    again.keeper.resume()

    again.until(spec, Step.READY)
    assert again.kinds(spec)[-1] == "ready"
    assert again.on_engine() == [(spec.container_id, 1)]
    again.close()


def test_a_clean_stop_does_not_wait_for_a_silent_registry_or_engine(bench: Bench) -> None:
    pulling, waiting = a_spec(image="slow:1"), a_spec(image=IMAGE)
    bench.keeper.accept(pulling)
    time.sleep(0.1)
    bench.engine.down = True
    bench.keeper.accept(waiting)
    time.sleep(0.05)
    began = time.monotonic()

    bench.keeper.close()

    assert time.monotonic() - began < 1
    assert {bench.intent(spec).step for spec in (pulling, waiting)} == {Step.ACCEPTED}
