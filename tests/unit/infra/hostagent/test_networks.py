"""Holders kept ready: who gets one, that nobody gets another's, and that none is left over."""

from typing import Any

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.hostagent.network.networks import IDLE_SECONDS, REFUSALS, YIELD_SECONDS, PreparedNetworks
from infra.hostagent.ports import EngineDown, EngineRefused, NotThere
from infra.hostagent.profile import engine_name, profile_of, sharing
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.namespaces import FakeNamespaces
from tests.fakes.runtime import StillRuntime

IMAGE = "debian:bookworm"


class Bench:
    """A host in memory with a pool of two."""

    def __init__(self, reaches: bool = True) -> None:
        self.engine = FakeEngine(present={IMAGE})
        self.namespaces = FakeNamespaces(self.engine, reaches=reaches)
        self.restart()

    def restart(self) -> None:
        self.runtime = StillRuntime()
        self.networks = PreparedNetworks(self.namespaces, self.runtime, 2)
        self.look()

    def look(self, later: float = 0.0) -> None:
        self.runtime.now += later
        self.networks.look(self.engine.of_host("host"))
        self.runtime.work()

    def created(self, spec: Any) -> str:
        profile = profile_of(spec, "host", "network", 2)
        return self.engine.create(sharing(profile, self.networks.take(spec)))

    def run(self, spec: Any) -> str:
        engine_id = self.created(spec)
        self.networks.start(self.engine, engine_id, spec)
        self.runtime.work()
        return engine_id

    def holder(self, engine_id: str) -> str | None:
        return self.engine.rows[engine_id][1].holder

    def remove(self, engine_id: str) -> None:
        container = self.engine.rows[engine_id][1]
        self.engine.remove(engine_id)
        self.networks.free(engine_name(container.container_id, container.generation), container.holder)
        self.runtime.work()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_container_shares_a_holder_made_ahead_and_has_its_own_name(bench: Bench) -> None:
    assert len(bench.engine.holders) == 2
    spec = a_spec(image=IMAGE, name="web")

    engine_id = bench.run(spec)

    assert bench.holder(engine_id) in bench.engine.holders
    assert bench.namespaces.hostnames[engine_id] == "web"
    assert "hostname" not in bench.engine.rows[engine_id][0].container


def test_nobody_is_given_the_holder_of_another_and_taken_ones_are_made_up_for(bench: Bench) -> None:
    holders = [bench.holder(bench.run(a_spec(image=IMAGE))) for _ in range(5)]

    assert None not in holders
    assert len(set(holders)) == 5
    assert len(bench.engine.holders) == 7


def test_more_at_once_than_are_ready_have_theirs_made_by_the_engine(bench: Bench) -> None:
    specs = [a_spec(image=IMAGE) for _ in range(3)]

    made = [bench.created(spec) for spec in specs]

    assert [bench.holder(each) is None for each in made] == [False, False, True]
    for engine_id, spec in zip(made, specs, strict=True):
        bench.networks.start(bench.engine, engine_id, spec)
    assert all(container.running for _, container in bench.engine.rows.values())


def test_who_asks_again_gets_the_same(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)

    assert bench.networks.take(spec) == bench.networks.take(spec) is not None


@pytest.mark.parametrize("mode", [NetworkMode.NONE, NetworkMode.RESTRICTED])
def test_a_container_without_a_network_shares_none(bench: Bench, mode: NetworkMode) -> None:
    assert bench.networks.take(a_spec(image=IMAGE, network_mode=mode)) is None


def test_a_holder_goes_with_its_container_and_is_never_given_again(bench: Bench) -> None:
    engine_id = bench.run(a_spec(image=IMAGE))
    holder = bench.holder(engine_id)

    bench.remove(engine_id)

    assert holder not in bench.engine.holders
    assert bench.holder(bench.run(a_spec(image=IMAGE))) != holder


def test_a_creation_that_ends_before_its_container_is_made_leaves_no_holder(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    holder = bench.networks.take(spec)

    bench.networks.free(engine_name(spec.container_id, spec.generation))
    bench.runtime.work()

    assert holder not in bench.engine.holders


def test_a_container_that_was_made_by_a_dead_process_keeps_its_holder(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    engine_id = bench.created(spec)
    holder = bench.holder(engine_id)

    bench.restart()
    second = bench.networks.take(spec)
    bench.networks.found(engine_name(spec.container_id, spec.generation), holder)
    bench.runtime.work()
    bench.networks.start(bench.engine, engine_id, spec)

    assert second not in bench.engine.holders
    assert holder in bench.engine.holders


def test_the_holder_of_a_container_that_vanished_goes_after_a_while(bench: Bench) -> None:
    engine_id = bench.run(a_spec(image=IMAGE))
    holder = bench.holder(engine_id)
    bench.engine.remove(engine_id)

    bench.look()
    assert holder in bench.engine.holders
    bench.look(IDLE_SECONDS)

    assert holder not in bench.engine.holders


def test_what_a_dead_process_had_ready_is_swept_but_not_at_once(bench: Bench) -> None:
    running = bench.holder(bench.run(a_spec(image=IMAGE)))
    before = set(bench.engine.holders) - {running}

    bench.restart()
    assert before <= bench.engine.holders.keys()
    bench.look(IDLE_SECONDS)

    assert not before & bench.engine.holders.keys()
    assert running in bench.engine.holders
    assert len(bench.engine.holders) == 3


def test_a_stopped_container_finds_its_holder_again_though_it_ended(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    engine_id = bench.run(spec)
    bench.engine.stop(engine_id, 1)
    bench.engine.holders.update(dict.fromkeys(bench.engine.holders, False))
    bench.restart()

    bench.networks.start(bench.engine, engine_id, spec)

    assert bench.engine.rows[engine_id][1].running
    assert bench.engine.holders[str(bench.holder(engine_id))]


def test_holders_that_ended_or_lost_their_network_are_not_given_away(bench: Bench) -> None:
    ended, unjoined = bench.engine.holders
    bench.engine.holders[ended] = False
    bench.namespaces.unjoined.add(unjoined)

    bench.look()

    assert not {ended, unjoined} & bench.engine.holders.keys()
    assert len(bench.engine.holders) == 2


def test_a_running_container_that_was_cut_off_is_joined_again_by_a_look(bench: Bench) -> None:
    holder = str(bench.holder(bench.run(a_spec(image=IMAGE))))
    bench.namespaces.unjoined.add(holder)

    bench.look()

    assert bench.namespaces.unjoined == set()
    assert holder in bench.engine.holders


def test_a_holder_that_vanished_fails_the_start(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    engine_id = bench.created(spec)
    bench.engine.holders.clear()

    with pytest.raises(NotThere):
        bench.networks.start(bench.engine, engine_id, spec)


def test_an_agent_that_cannot_look_into_containers_prepares_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(reaches=False)

    for _ in range(REFUSALS + 1):
        assert bench.engine.holders == {}
        assert bench.networks.take(a_spec(image=IMAGE)) is None
        bench.look()

    assert bench.engine.calls.count("make") == REFUSALS
    assert caplog.messages.count("no namespaces are prepared on this host") == 1


def test_one_holder_that_cannot_be_named_does_not_end_the_pool() -> None:
    bench = Bench(reaches=False)
    bench.namespaces.reaches = True

    bench.look()

    assert len(bench.engine.holders) == 2


def test_an_engine_that_is_down_is_asked_again_at_the_next_look() -> None:
    bench = Bench()
    bench.engine.down = True
    taken = [bench.networks.take(a_spec(image=IMAGE)) for _ in range(2)]
    bench.runtime.work()
    assert None not in taken

    bench.engine.down = False
    bench.look()

    assert len(bench.engine.holders) == 4


def test_making_holders_waits_for_creations_but_not_for_ever(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    bench.created(spec)
    began = bench.runtime.now

    bench.runtime.work()

    assert bench.runtime.now - began == pytest.approx(YIELD_SECONDS, abs=0.2)
    assert len(bench.engine.holders) == 3


def test_a_process_that_ends_begins_nothing(bench: Bench) -> None:
    bench.networks.close()

    bench.networks.take(a_spec(image=IMAGE))

    assert bench.runtime.waiting == []


def test_a_host_that_ends_with_its_cloud_leaves_no_holder(bench: Bench) -> None:
    bench.networks.clear()

    assert bench.engine.holders == {}


@pytest.mark.parametrize("call", ["make", "remove holder"])
def test_a_lost_answer_leaves_no_holder_for_good(bench: Bench, call: str) -> None:
    engine_id = bench.run(a_spec(image=IMAGE))
    bench.engine.lose_answer_of.add(call)
    if call == "make":
        bench.run(a_spec(image=IMAGE))
    else:
        bench.remove(engine_id)

    for _ in range(3):
        bench.look(IDLE_SECONDS)

    shared = {container.holder for _, container in bench.engine.rows.values()}
    assert len(bench.engine.holders.keys() - shared) == 2


def test_a_name_that_cannot_be_given_is_told(bench: Bench) -> None:
    spec = a_spec(image=IMAGE)
    engine_id = bench.created(spec)
    bench.namespaces.reaches = False

    with pytest.raises(EngineRefused):
        bench.networks.start(bench.engine, engine_id, spec)


def test_a_look_at_an_engine_that_is_down_changes_nothing(bench: Bench) -> None:
    bench.engine.down = True

    bench.networks.look([])

    with pytest.raises(EngineDown):
        bench.networks.clear()
    assert len(bench.engine.holders) == 2
