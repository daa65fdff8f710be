"""Who is admitted to what: the keeper over an engine in memory, through starts, ends, crashes and looks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import PowerCall, Removal, Verb
from chalicelib.contract.resources import NetworkMode
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.profile import engine_name
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.egress import FakeEgress
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

IMAGE = "debian:bookworm"
HELD = {"network_mode": NetworkMode.RESTRICTED, "allowed_domains": ["example.org", "*.example.net"]}


class Bench:
    """One host; `restart` is a new process over the same journal and engine, whose admissions the kernel kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = FakeEngine(present={IMAGE})
        self.held_network: str | None = "held"
        self.restart()

    def restart(self) -> None:
        runtime = ThreadRuntime()
        self.egress = FakeEgress()
        self.journal = Journal(self.folder / "journal", runtime)
        means = Means(self.engine, self.journal, runtime, lambda: None, MemoryFiles(), MemoryDisk(), egress=self.egress)
        place = Place("host", "open", 2, engine_patience_seconds=0.3, held_network=self.held_network, resolver="r")
        pulls = Pulls(self.engine, parallel=2, seconds=5)
        self.keeper = Keeper(means, Creation(means, pulls, place), Policy("host", 10))

    def until(self, container_id: str, step: Step) -> None:
        eventually(lambda: (found := self.journal.get(container_id)) is not None and found.step is step)

    def ready(self, **fields: Any) -> Any:
        spec = a_spec(image=IMAGE, **fields)
        self.keeper.accept(spec)
        self.until(spec.container_id, Step.READY)
        return spec

    def switch(self, spec: Any, verb: Verb, step: Step) -> None:
        self.keeper.power(
            PowerCall(container_id=spec.container_id, user_id=spec.user_id, generation=1, verb=verb, action=verb)
        )
        self.until(spec.container_id, step)

    def end(self, spec: Any) -> None:
        """Its main process ends, behind the agent's back."""
        self.engine.die(self.row(spec).engine_id, 1)

    def row(self, spec: Any) -> Any:
        return self.engine.find(engine_name(spec.container_id, spec.generation))

    def admitted(self) -> list[str]:
        return [each.guest.name for each in self.egress.admitted()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.keeper.close()


def eventually(found: Callable[[], object], seconds: float = 5) -> None:
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.005)


def name_of(spec: Any) -> str:
    return engine_name(spec.container_id, spec.generation)


def test_who_is_held_to_names_is_admitted_to_them_before_it_is_ready(bench: Bench) -> None:
    spec = bench.ready(**HELD)

    [admission] = bench.egress.admitted()
    assert admission.guest.name == name_of(spec)
    assert admission.guest.domains == ("example.org", "*.example.net")
    assert admission.guest.at == bench.row(spec).attachment
    [(profile, _)] = bench.engine.rows.values()
    assert (profile.network, profile.host_config["dns"], profile.card) == ("held", ["r"], admission.guest.at.card)


@pytest.mark.parametrize(("mode", "network"), [(NetworkMode.DEFAULT, "open"), (NetworkMode.NONE, None)])
def test_others_are_not_on_the_held_network(bench: Bench, mode: NetworkMode, network: str | None) -> None:
    bench.ready(network_mode=mode)

    [(profile, _)] = bench.engine.rows.values()
    assert profile.network == network
    assert bench.admitted() == []


def test_where_nobody_can_be_held_they_have_no_network(bench: Bench) -> None:
    bench.held_network = None
    bench.restart()

    bench.ready(**HELD)

    [(profile, _)] = bench.engine.rows.values()
    assert (profile.network, bench.admitted()) == (None, [])


def test_a_container_that_cannot_be_admitted_fails_and_is_gone(bench: Bench) -> None:
    bench.egress.broken = True
    spec = a_spec(image=IMAGE, **HELD)
    bench.keeper.accept(spec)

    bench.until(spec.container_id, Step.FAILED)

    assert not bench.engine.rows


def test_a_stopped_one_loses_its_place_at_the_next_look_and_has_it_again_when_started(bench: Bench) -> None:
    spec = bench.ready(**HELD)
    bench.switch(spec, Verb.STOP, Step.STOPPED)
    bench.keeper.relist.look()
    assert bench.admitted() == []

    bench.switch(spec, Verb.START, Step.READY)

    assert bench.admitted() == [name_of(spec)]


def test_one_that_could_not_be_admitted_at_its_start_is_at_the_next_look(bench: Bench) -> None:
    spec = bench.ready(**HELD)
    bench.switch(spec, Verb.STOP, Step.STOPPED)
    bench.keeper.relist.look()
    bench.egress.broken = True
    bench.switch(spec, Verb.START, Step.READY)
    bench.keeper.relist.look()
    assert bench.admitted() == []
    bench.egress.broken = False

    bench.keeper.relist.look()

    assert bench.admitted() == [name_of(spec)]


def test_the_next_process_admits_whoever_runs(bench: Bench) -> None:
    runs, ended = bench.ready(**HELD), bench.ready(**HELD)
    bench.keeper.close()
    bench.end(ended)
    bench.restart()

    bench.keeper.relist.look()

    assert bench.admitted() == [name_of(runs)]


def test_whoever_gets_the_address_of_one_that_ended_takes_it_over(bench: Bench) -> None:
    first = bench.ready(**HELD)
    address = bench.row(first).attachment.address
    bench.end(first)

    second = bench.ready(**HELD)

    [admission] = bench.egress.admitted()
    assert (admission.guest.name, admission.guest.at.address) == (name_of(second), address)
    assert bench.row(first).attachment is None


def test_a_restart_behind_the_agents_back_is_seen(bench: Bench) -> None:
    first, second = bench.ready(**HELD), bench.ready(**HELD)
    for spec in (first, second):
        bench.end(spec)
    for spec in (second, first):  # each gets the other's address
        bench.engine.start(bench.row(spec).engine_id)

    bench.keeper.relist.look()

    assert {each.guest.name: each.guest.at for each in bench.egress.admitted()} == {
        name_of(spec): bench.row(spec).attachment for spec in (first, second)
    }


def test_a_removed_one_is_not_admitted_after_the_next_look(bench: Bench) -> None:
    spec = bench.ready(**HELD)
    bench.keeper.remove(Removal(container_id=spec.container_id, user_id=spec.user_id, generation=1))
    bench.until(spec.container_id, Step.REMOVED)

    bench.keeper.relist.look()

    assert bench.admitted() == []
