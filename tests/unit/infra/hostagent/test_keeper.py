"""The keeper over a fake engine: whatever is lost, repeated or overtaken, containers end as wanted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec, PowerCall, RefusalCode, Removal, ResizeCall, Verb
from chalicelib.contract.causes import Code
from chalicelib.contract.events import parse_event
from chalicelib.contract.resources import Resources
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import CallRefused, Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.relist import OOM_WINDOW_SECONDS
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import EngineRefused, Ran
from infra.hostagent.profile import engine_name, profile_of
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

IMAGE = "debian:bookworm"


class Bench:
    """One host in memory; `restart` is a new process over the same journal and engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = FakeEngine(present={IMAGE}, remote={"pulled:1"})
        self.files = MemoryFiles()
        self.disk = MemoryDisk()
        self.restart()

    def restart(self, max_containers: int = 10, draining: bool = False) -> None:
        runtime = ThreadRuntime()
        self.journal = Journal(self.folder / "journal", runtime)
        means = Means(self.engine, self.journal, runtime, lambda: None, self.files, self.disk)
        pulls = Pulls(self.engine, parallel=2, seconds=5)
        place = Place("host", "network", 2, engine_patience_seconds=0.3)
        policy = Policy("host", max_containers, draining)
        self.keeper = Keeper(means, Creation(means, pulls, place), policy)

    def close(self) -> None:
        self.keeper.close()

    def events(self, container_id: str) -> list[Any]:
        waiting = [parse_event(each.event) for each in self.journal.outgoing(1000)]
        return [event for event in waiting if getattr(event, "container_id", None) == container_id]

    def kinds(self, container_id: str) -> list[str]:
        return [event.kind for event in self.events(container_id)]

    def until(self, container_id: str, step: Step) -> None:
        eventually(lambda: (found := self.journal.get(container_id)) is not None and found.step is step)

    def ready(self, **fields: Any) -> Any:
        spec = a_spec(image=IMAGE, **fields)
        self.keeper.accept(spec)
        self.until(spec.container_id, Step.READY)
        return spec

    def resize(self, spec: Any, action: str = "a", memory_mb: int = 1024, cpu_shares: int = 1500) -> None:
        resources = Resources(memory_mb=memory_mb, cpu_shares=cpu_shares, disk_mb=2048)
        self.keeper.resize(
            ResizeCall(
                container_id=spec.container_id,
                user_id=spec.user_id,
                generation=spec.generation,
                resources=resources,
                action=action,
            )
        )

    def resized(self, spec: Any) -> list[Any]:
        return [event for event in self.events(spec.container_id) if event.kind == "resized"]

    def limits(self, spec: Any) -> tuple[int, int]:
        """MiB and millicores in force on the engine."""
        [found] = [each for each in self.engine.rows.values() if each[1].container_id == spec.container_id]
        limits = self.engine.limits[found[1].engine_id]
        return limits.memory // 1024**2, limits.nano_cpus // 10**6

    def removal(self, spec: Any) -> Removal:
        return Removal(container_id=spec.container_id, user_id=spec.user_id, generation=spec.generation)


def eventually(found: Callable[[], Any], seconds: float = 5) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        result = found()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError("waited in vain")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_a_creation_goes_through_every_step_once(bench: Bench) -> None:
    spec = bench.ready()
    for _ in range(3):
        bench.keeper.accept(spec)
    time.sleep(0.05)

    assert bench.kinds(spec.container_id) == ["progress", "progress", "created", "progress", "progress", "ready"]
    assert bench.engine.calls.count("create") == 1


@pytest.mark.parametrize("lost", ["create", "start"])
def test_a_call_whose_answer_was_lost_is_not_done_twice(bench: Bench, lost: str) -> None:
    bench.engine.lose_answer_of = {lost}

    spec = bench.ready()

    assert len(bench.engine.of_host("host")) == 1
    assert bench.kinds(spec.container_id)[-1] == "ready"


@pytest.mark.parametrize("code", ["image", "engine"])
def test_a_failed_creation_leaves_nothing(bench: Bench, code: str) -> None:
    spec = a_spec(image="nowhere:1" if code == "image" else IMAGE)
    bench.engine.down = False
    if code == "engine":
        bench.engine.outcomes = {"add_user": Ran(1, "sh: cannot fork")}
    bench.keeper.accept(spec)
    bench.until(spec.container_id, Step.FAILED)

    failed = bench.events(spec.container_id)[-1]
    assert failed.cause.code is (Code.IMAGE_NOT_FOUND if code == "image" else Code.ENGINE_ERROR)
    assert bench.engine.of_host("host") == []


def test_an_engine_that_stays_down_fails_the_creation_and_its_traces_go_later(bench: Bench) -> None:
    spec = a_spec(image="pulled:1")
    bench.keeper.accept(spec)
    eventually(lambda: "create" in bench.engine.calls)
    bench.engine.down = True
    eventually(lambda: bench.journal.get(spec.container_id).step in (Step.FAILED, Step.READY))  # type: ignore[union-attr]
    bench.keeper.relist.look()
    assert not bench.keeper.relist.engine_up
    with pytest.raises(CallRefused) as refused:
        bench.keeper.accept(a_spec(image=IMAGE))
    assert refused.value.code is RefusalCode.ENGINE_DOWN

    bench.engine.down = False
    bench.keeper.relist.look()

    intent = bench.journal.get(spec.container_id)
    assert intent is not None
    assert (intent.step is Step.FAILED) == (bench.engine.of_host("host") == [])


def test_delete_wins_over_a_creation_wherever_it_stands(bench: Bench) -> None:
    for pause in (0, 0.001, 0.003, 0.01, 0.05):
        spec = a_spec(image="pulled:1")
        bench.keeper.accept(spec)
        time.sleep(pause)
        bench.keeper.remove(bench.removal(spec))
        bench.until(spec.container_id, Step.REMOVED)

        numbers = [event.number for event in bench.events(spec.container_id)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert bench.kinds(spec.container_id)[-1] == "removed"
    eventually(lambda: bench.engine.of_host("host") == [])


def test_a_deleted_id_is_refused_and_a_repeated_delete_told_again(bench: Bench) -> None:
    spec = bench.ready()
    bench.keeper.remove(bench.removal(spec))
    bench.until(spec.container_id, Step.REMOVED)

    with pytest.raises(CallRefused) as refused:
        bench.keeper.accept(spec)
    bench.keeper.remove(bench.removal(spec))

    assert refused.value.code is RefusalCode.TOMBSTONE
    assert bench.kinds(spec.container_id)[-2:] == ["removed", "removed"]


def test_a_delete_while_the_engine_is_down_is_done_when_it_is_back(bench: Bench) -> None:
    spec = bench.ready()
    bench.engine.down = True
    bench.keeper.remove(bench.removal(spec))
    time.sleep(0.05)
    assert "removed" not in bench.kinds(spec.container_id)

    bench.engine.down = False
    bench.keeper.relist.look()

    bench.until(spec.container_id, Step.REMOVED)
    assert bench.engine.of_host("host") == []


def test_an_older_generation_is_refused_and_a_newer_one_replaces(bench: Bench) -> None:
    old = bench.ready()
    new = old.model_copy(update={"generation": 2})
    bench.keeper.accept(new)
    bench.until(new.container_id, Step.READY)
    bench.keeper.relist.look()

    with pytest.raises(CallRefused) as refused:
        bench.keeper.accept(old)

    assert refused.value.code is RefusalCode.STALE_GENERATION
    assert [each.generation for each in bench.engine.of_host("host")] == [2]


def test_a_full_or_draining_host_refuses(bench: Bench) -> None:
    for options, code in (({"max_containers": 0}, RefusalCode.FULL), ({"draining": True}, RefusalCode.DRAINING)):
        bench.restart(**options)  # type: ignore[arg-type]
        with pytest.raises(CallRefused) as refused:
            bench.keeper.accept(a_spec(image=IMAGE))
        assert refused.value.code is code


def test_files_go_with_a_container_that_somebody_removes_and_stay_with_one_that_stopped(bench: Bench) -> None:
    vanished, exited = bench.ready(), bench.ready()
    by_id = {container.container_id: engine_id for engine_id, (_, container) in bench.engine.rows.items()}
    bench.engine.remove(by_id[vanished.container_id])
    bench.engine.die(by_id[exited.container_id], 1)

    bench.keeper.relist.look()

    assert bench.files.names() == [engine_name(exited.container_id, exited.generation)]


def test_what_somebody_removes_is_told_as_vanished_however_far_that_is(bench: Bench) -> None:
    going, gone = bench.ready(), bench.ready()
    by_id = {each.container_id: each.engine_id for each in bench.engine.of_host("host")}
    profile, container = bench.engine.rows[by_id[going.container_id]]
    bench.engine.rows[container.engine_id] = (profile, replace(container, running=False, exit_code=137, going=True))
    del bench.engine.rows[by_id[gone.container_id]]

    bench.keeper.relist.look()

    told = [bench.events(spec.container_id)[-1] for spec in (going, gone)]
    assert [event.kind for event in told] == ["stopped", "stopped"]
    assert told[0].cause == told[1].cause
    assert told[0].cause.code is Code.ENGINE_ERROR


def test_what_ended_by_itself_is_told_with_its_reason(bench: Bench) -> None:
    exited, killed, vanished = (bench.ready() for _ in range(3))
    by_id = {each.container_id: each.engine_id for each in bench.engine.of_host("host")}
    bench.engine.die(by_id[exited.container_id], 3)
    bench.keeper.relist.heard("oom", killed.container_id, time.time())
    bench.engine.die(by_id[killed.container_id], 137)
    bench.engine.remove(by_id[vanished.container_id])

    bench.keeper.relist.look()
    bench.keeper.relist.look()

    causes = [bench.events(spec.container_id)[-1].cause for spec in (exited, killed, vanished)]
    assert [cause.code for cause in causes] == [Code.EXITED, Code.OOM, Code.ENGINE_ERROR]
    assert causes[0].exit_code == 3
    assert bench.kinds(exited.container_id).count("stopped") == 1


def test_a_memory_kill_of_a_child_is_no_reason_for_a_later_end(bench: Bench) -> None:
    spec = bench.ready()
    [container] = bench.engine.of_host("host")
    bench.keeper.relist.heard("oom", spec.container_id, time.time() - OOM_WINDOW_SECONDS - 0.5)
    bench.engine.die(container.engine_id, 137)

    bench.keeper.relist.look()

    cause = bench.events(spec.container_id)[-1].cause
    assert (cause.code, cause.exit_code) == (Code.EXITED, 137)


def test_a_memory_kill_is_told_as_one_however_late_it_is_seen(bench: Bench) -> None:
    spec = bench.ready()
    [container] = bench.engine.of_host("host")
    long_ago = time.time() - 60
    bench.keeper.relist.heard("oom", spec.container_id, long_ago)
    bench.engine.now = lambda: long_ago
    bench.engine.die(container.engine_id, 137)

    bench.keeper.relist.look()

    assert bench.events(spec.container_id)[-1].cause.code is Code.OOM


def test_what_the_journal_does_not_know_is_left_alone_whatever_its_age(bench: Bench) -> None:
    engine_id = bench.engine.create(profile_of(a_spec(image=IMAGE), "host", "network", 1))
    profile, container = bench.engine.rows[engine_id]
    bench.engine.rows[engine_id] = (profile, replace(container, created_at=0.0))

    bench.keeper.relist.look()

    assert list(bench.engine.rows) == [engine_id]


def test_a_removal_takes_what_the_journal_does_not_know_up_to_its_generation(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    for generation in (1, 2, 3):
        newer = spec.model_copy(update={"generation": generation})
        bench.engine.create(profile_of(newer, "host", "network", 1))

    removal = bench.removal(spec).model_copy(update={"generation": 2, "number": 6})
    bench.keeper.remove(removal)
    bench.until(spec.container_id, Step.REMOVED)

    assert [each.generation for each in bench.engine.of_host("host")] == [3]
    [removed] = bench.events(spec.container_id)
    assert (removed.kind, removed.generation, removed.number) == ("removed", 2, 7)


@pytest.mark.parametrize("waits", [False, True])
def test_who_asks_again_for_a_removal_says_which_number_is_the_last(bench: Bench, *, waits: bool) -> None:
    """A host that lost its journal was first asked by somebody who did not know: what it told passed for old news."""
    spec = a_spec()
    bench.engine.down = waits
    bench.keeper.remove(bench.removal(spec))
    bench.until(spec.container_id, Step.REMOVING if waits else Step.REMOVED)

    bench.keeper.remove(bench.removal(spec).model_copy(update={"number": 8}))
    bench.engine.down = False
    bench.keeper.resume()
    bench.until(spec.container_id, Step.REMOVED)

    last = eventually(lambda: [each for each in bench.events(spec.container_id) if each.number > 8])[-1]
    assert (last.kind, last.number) == ("removed", 9)


def test_a_container_placed_here_anew_is_made_after_its_removal(bench: Bench) -> None:
    spec = bench.ready()
    bench.keeper.remove(bench.removal(spec))
    bench.until(spec.container_id, Step.REMOVED)
    anew = spec.model_copy(update={"generation": 2})

    bench.keeper.accept(anew)
    bench.until(spec.container_id, Step.READY)
    bench.keeper.remove(bench.removal(spec))  # late, and of the earlier one
    time.sleep(0.05)
    bench.keeper.relist.look()

    assert bench.journal.get(spec.container_id).step is Step.READY  # type: ignore[union-attr]
    assert [each.generation for each in bench.engine.of_host("host")] == [2]


def forgotten(bench: Bench, **changes: Any) -> ContainerSpec:
    """A running container whose host has lost its journal, as the control plane tells of it."""
    spec = bench.ready()
    bench.keeper.close()
    bench.journal.close()
    (bench.folder / "journal").unlink()
    bench.restart(**changes)
    return spec.model_copy(update={"number": 6, "image": "gone:1"})  # type: ignore[no-any-return]


@pytest.mark.parametrize("options", [{}, {"draining": True}, {"max_containers": 0}])
def test_a_container_whose_host_forgot_it_is_taken_over_and_not_made_again(
    bench: Bench, options: dict[str, Any]
) -> None:
    spec = forgotten(bench, **options)
    bench.keeper.relist.look()
    [before] = bench.engine.of_host("host")

    bench.keeper.accept(spec)
    bench.until(spec.container_id, Step.READY)
    bench.keeper.relist.look()

    assert bench.engine.of_host("host") == [before]
    assert bench.engine.calls.count("create") == bench.engine.calls.count("start") == 1
    assert [(event.kind, event.number) for event in bench.events(spec.container_id)] == [("ready", 7), ("started", 8)]
    bench.keeper.remove(bench.removal(spec))
    bench.until(spec.container_id, Step.REMOVED)
    assert bench.events(spec.container_id)[-1].number == 9


def test_a_stopped_container_that_is_taken_over_stays_stopped(bench: Bench) -> None:
    spec = forgotten(bench)
    [container] = bench.engine.of_host("host")
    bench.engine.die(container.engine_id, 143)

    bench.keeper.accept(spec)
    bench.until(spec.container_id, Step.STOPPED)

    assert [event.number for event in bench.events(spec.container_id)] == [7]
    assert not bench.engine.of_host("host")[0].running


def test_a_container_that_was_never_started_is_taken_over_and_started(bench: Bench) -> None:
    spec = a_spec(image=IMAGE, number=3)
    bench.engine.create(profile_of(spec, "host", "network", 1))

    bench.keeper.accept(spec)
    bench.until(spec.container_id, Step.READY)

    assert bench.kinds(spec.container_id) == ["created", "progress", "progress", "ready"]
    assert bench.engine.calls.count("create") == 1


def test_an_engine_that_cannot_say_what_it_has_costs_no_container(bench: Bench) -> None:
    spec = forgotten(bench)
    find, asked = bench.engine.find, []

    def refused_once(name: str) -> Any:
        asked.append(name)
        if len(asked) == 1:
            raise EngineRefused("database is locked")
        return find(name)

    bench.engine.find = refused_once  # type: ignore[method-assign]
    bench.keeper.accept(spec)
    eventually(lambda: asked)
    time.sleep(0.05)
    bench.keeper.relist.look()

    bench.until(spec.container_id, Step.READY)
    assert bench.kinds(spec.container_id) == ["ready", "started"]


def test_what_is_taken_over_while_the_engine_is_away_is_not_failed_for_it(bench: Bench) -> None:
    spec = forgotten(bench)
    bench.engine.down = True
    bench.keeper.accept(spec)
    time.sleep(0.5)  # longer than a creation's patience
    assert bench.events(spec.container_id) == []
    bench.engine.down = False
    bench.keeper.relist.look()

    bench.until(spec.container_id, Step.READY)
    assert len(bench.engine.of_host("host")) == 1


def test_what_was_accepted_is_done_by_the_next_process(bench: Bench) -> None:
    bench.engine.down = True
    spec = a_spec(image=IMAGE)
    bench.keeper.accept(spec)
    bench.keeper.close()
    bench.engine.down = False

    bench.restart()
    bench.keeper.resume()

    bench.until(spec.container_id, Step.READY)
    assert len(bench.engine.of_host("host")) == 1


def test_a_session_that_is_over_is_removed_even_after_a_restart(bench: Bench) -> None:
    spec = bench.ready(expires_in_seconds=0.2)
    bench.restart()
    bench.keeper.resume()
    bench.keeper.expire()
    assert bench.kinds(spec.container_id)[-1] == "ready"
    time.sleep(0.25)

    bench.keeper.expire()

    bench.until(spec.container_id, Step.REMOVED)
    assert bench.events(spec.container_id)[-1].cause.code is Code.EXPIRED


def test_a_switch_is_done_once_and_in_the_order_asked_for(bench: Bench) -> None:
    spec = bench.ready()

    def power(verb: Verb, action: str) -> None:
        call = PowerCall(container_id=spec.container_id, user_id=spec.user_id, generation=1, verb=verb, action=action)
        bench.keeper.power(call)

    power(Verb.STOP, "a")
    bench.until(spec.container_id, Step.STOPPED)
    power(Verb.STOP, "a")
    power(Verb.START, "b")
    bench.until(spec.container_id, Step.READY)
    power(Verb.RESTART, "c")
    power(Verb.RESTART, "c")
    eventually(lambda: bench.kinds(spec.container_id).count("started") == 2)
    power(Verb.STOP, "a")  # a late copy of a call that was carried out before

    assert bench.journal.get(spec.container_id).step is Step.READY
    assert bench.kinds(spec.container_id)[6:] == ["stopped", "started", "stopped", "started"]
    assert [each.running for each in bench.engine.of_host("host")] == [True]


def test_a_switch_while_the_engine_is_down_is_done_when_it_is_back(bench: Bench) -> None:
    spec = bench.ready()
    bench.engine.down = True
    bench.keeper.power(
        PowerCall(container_id=spec.container_id, user_id=spec.user_id, generation=1, verb=Verb.RESTART, action="a")
    )
    time.sleep(0.05)
    assert bench.kinds(spec.container_id)[-1] == "ready"

    bench.engine.down = False
    bench.keeper.relist.look()

    eventually(lambda: bench.kinds(spec.container_id)[-2:] == ["stopped", "started"])


def test_a_container_is_given_other_amounts_once_per_action(bench: Bench) -> None:
    spec = bench.ready()
    for _ in range(3):
        bench.resize(spec)
    [event] = eventually(lambda: bench.resized(spec))
    bench.resize(spec)
    time.sleep(0.05)

    assert (event.action, event.resources.memory_mb, event.resources.cpu_shares, event.cause) == ("a", 1024, 1500, None)
    assert bench.limits(spec) == (1024, 1500)
    assert len(bench.resized(spec)) == bench.engine.calls.count("resize") == 1
    granted = bench.journal.get(spec.container_id)
    assert granted is not None
    assert granted.spec is not None
    assert granted.spec.resources == event.resources


def test_no_more_cores_are_granted_than_there_are(bench: Bench) -> None:
    spec = bench.ready()
    bench.resize(spec, cpu_shares=64_000)

    eventually(lambda: bench.resized(spec))

    assert bench.limits(spec)[1] == 2000


def test_an_engine_that_refuses_other_amounts_is_told_with_those_in_force(bench: Bench) -> None:
    spec = bench.ready()
    before = bench.limits(spec)
    [container] = bench.engine.of_host("host")
    bench.engine.used[container.engine_id] = 100 * 1024**2
    bench.resize(spec, memory_mb=64)
    [event] = eventually(lambda: bench.resized(spec))

    assert event.resources == spec.resources
    assert event.cause.code is Code.ENGINE_ERROR
    assert bench.limits(spec) == before
    bench.resize(spec, action="b", memory_mb=128)
    eventually(lambda: len(bench.resized(spec)) == 2)
    assert bench.resized(spec)[-1].cause is None


def test_a_stopped_container_is_resized_too(bench: Bench) -> None:
    spec = bench.ready()
    [container] = bench.engine.of_host("host")
    bench.engine.die(container.engine_id, 0)
    bench.keeper.relist.look()

    bench.resize(spec)

    eventually(lambda: bench.resized(spec))
    assert bench.limits(spec) == (1024, 1500)


def test_a_resizing_waits_for_the_creation_or_switch_it_falls_into_and_for_the_engine(bench: Bench) -> None:
    spec = a_spec(image="pulled:1")
    bench.keeper.accept(spec)
    bench.resize(spec)
    eventually(lambda: bench.resized(spec))
    assert bench.kinds(spec.container_id)[-2:] == ["ready", "resized"]

    bench.engine.down = True
    call = PowerCall(container_id=spec.container_id, user_id=spec.user_id, generation=1, verb=Verb.RESTART, action="r")
    bench.keeper.power(call)
    bench.resize(spec, action="b", memory_mb=2048)
    time.sleep(0.05)
    assert len(bench.resized(spec)) == 1
    bench.engine.down = False
    bench.keeper.relist.look()

    eventually(lambda: len(bench.resized(spec)) == 2)
    assert bench.kinds(spec.container_id)[-3:] == ["stopped", "started", "resized"]
    assert bench.limits(spec) == (2048, 1500)


def test_a_resizing_that_a_restart_of_the_agent_falls_into_is_done_by_the_next_process(bench: Bench) -> None:
    spec = bench.ready()
    bench.engine.down = True
    bench.resize(spec)
    time.sleep(0.05)
    bench.keeper.close()
    bench.engine.down = False

    bench.restart()
    bench.keeper.resume()

    eventually(lambda: bench.resized(spec))
    assert bench.limits(spec) == (1024, 1500)


def test_what_is_gone_or_unknown_cannot_be_resized(bench: Bench) -> None:
    gone, older = bench.ready(), bench.ready()
    bench.keeper.remove(bench.removal(gone))
    for spec in (gone, a_spec(), older.model_copy(update={"generation": 2})):
        with pytest.raises(CallRefused) as refused:
            bench.resize(spec)
        assert refused.value.code is RefusalCode.UNKNOWN


def test_after_a_long_silence_what_runs_is_told_again(bench: Bench) -> None:
    running, gone = bench.ready(), bench.ready()
    bench.keeper.remove(bench.removal(gone))
    bench.until(gone.container_id, Step.REMOVED)

    bench.keeper.tell_again()

    assert bench.kinds(running.container_id)[-1] == "started"
    assert bench.kinds(gone.container_id)[-1] == "removed"


def test_what_goes_as_it_should_is_not_looked_for(bench: Bench) -> None:
    kept, gone = bench.ready(), bench.ready()
    bench.keeper.remove(Removal(container_id=gone.container_id, user_id=gone.user_id, generation=1))
    bench.until(gone.container_id, Step.REMOVED)
    looks = bench.engine.calls.count("of_host")

    bench.keeper.relist.heard("destroy", gone.container_id, 0.0)
    assert bench.engine.calls.count("of_host") == looks

    bench.keeper.relist.heard("destroy", kept.container_id, 0.0)
    assert bench.engine.calls.count("of_host") == looks + 1


def test_nothing_runs_before_its_disk_is_limited(bench: Bench) -> None:
    spec = bench.ready()
    [(profile, container)] = bench.engine.rows.values()

    assert profile.host_config["disk_mb"] == spec.resources.disk_mb
    assert bench.disk.limits == {container.engine_id: spec.resources.disk_mb}


def test_a_container_that_starts_again_is_limited_again(bench: Bench) -> None:
    spec = bench.ready()
    [(_, container)] = bench.engine.rows.values()
    call = PowerCall(container_id=spec.container_id, user_id=spec.user_id, generation=1, verb=Verb.RESTART, action="a")
    bench.disk.limits.clear()

    bench.keeper.power(call)
    eventually(lambda: "started" in bench.kinds(spec.container_id))

    assert bench.disk.limits == {container.engine_id: spec.resources.disk_mb}


def test_what_must_be_limited_is_refused_where_it_cannot_be(bench: Bench) -> None:
    bench.disk.enforced = False

    with pytest.raises(CallRefused) as refused:
        bench.keeper.accept(a_spec(image=IMAGE))

    assert refused.value.code is RefusalCode.DISK_UNLIMITED
    assert bench.journal.get(a_spec().container_id) is None


def test_what_need_not_be_limited_is_made_there_and_its_user_told(bench: Bench) -> None:
    bench.disk.enforced = False

    spec = bench.ready(disk_limited=False)

    said = [event.message for event in bench.events(spec.container_id) if event.kind == "progress"]
    assert "creating the container; this host does not limit its disk" in said


def test_what_is_known_of_already_is_taken_over_though_it_cannot_be_limited(bench: Bench) -> None:
    bench.disk.enforced = False

    bench.ready(number=3)
