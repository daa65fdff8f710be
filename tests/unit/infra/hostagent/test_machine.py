"""Any order of calls, faults and restarts: what the keeper promises holds whenever it comes to rest."""

import contextlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chalicelib.contract.agent_api import ContainerSpec, PowerCall, Removal, ResizeCall, Verb
from chalicelib.contract.events import parse_event
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import CallRefused, Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import CREATING, SWITCHING, Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import NotThere
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

HOST = "host"
UNDER_WAY = (*CREATING, *SWITCHING, Step.REMOVING)
SPECS = [a_spec(image=image) for image in ("here:1", "pulled:1", "nowhere:1")]

which = st.integers(0, len(SPECS) - 1)
generations = st.integers(1, 3)


class KeeperMachine(RuleBasedStateMachine):
    """One host; `deleted` are the highest generations whose delete was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = FakeEngine(present={"here:1"}, remote={"pulled:1"})
        self.deleted: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        runtime = ThreadRuntime()
        self.journal = Journal(Path(self.folder.name) / "journal", runtime)
        means = Means(self.engine, self.journal, runtime, lambda: None, MemoryFiles(), MemoryDisk())
        pulls = Pulls(self.engine, parallel=2, seconds=5)
        place = Place(HOST, "network", 2, engine_patience_seconds=0)
        self.keeper = Keeper(means, Creation(means, pulls, place), Policy(HOST, 10))
        self.keeper.resume()

    def teardown(self) -> None:
        self.keeper.close()
        self.journal.close()
        self.folder.cleanup()

    def spec(self, index: int, generation: int) -> ContainerSpec:
        return SPECS[index].model_copy(update={"generation": generation})

    @rule(index=which, generation=generations)
    def create(self, index: int, generation: int) -> None:
        with contextlib.suppress(CallRefused):
            self.keeper.accept(self.spec(index, generation))

    @rule(index=which, generation=generations)
    def delete(self, index: int, generation: int) -> None:
        spec = self.spec(index, generation)
        removal = Removal(container_id=spec.container_id, user_id=spec.user_id, generation=generation)
        self.keeper.remove(removal)
        self.deleted[spec.container_id] = max(generation, self.deleted.get(spec.container_id, 0))

    @rule(index=which, generation=generations, verb=st.sampled_from(Verb), action=st.sampled_from("abc"))
    def switch(self, index: int, generation: int, verb: Verb, action: str) -> None:
        spec = self.spec(index, generation)
        call = PowerCall(
            container_id=spec.container_id, user_id=spec.user_id, generation=generation, verb=verb, action=action
        )
        with contextlib.suppress(CallRefused):
            self.keeper.power(call)

    @rule(index=which, generation=generations, memory_mb=st.sampled_from([64, 256]), action=st.sampled_from("abc"))
    def resize(self, index: int, generation: int, memory_mb: int, action: str) -> None:
        spec = self.spec(index, generation)
        resources = spec.resources.model_copy(update={"memory_mb": memory_mb})
        ids = {"container_id": spec.container_id, "user_id": spec.user_id, "generation": generation}
        with contextlib.suppress(CallRefused):
            self.keeper.resize(ResizeCall(**ids, resources=resources, action=action))

    @rule(call=st.sampled_from(["create", "start", "stop", "resize", "remove"]))
    def an_answer_will_be_lost(self, call: str) -> None:
        self.engine.lose_answer_of.add(call)

    @rule()
    def the_engine_goes_down_or_comes_back(self) -> None:
        self.engine.down = not self.engine.down

    @rule(index=which, how=st.sampled_from(["dies", "vanishes"]))
    def something_ends_by_itself(self, index: int, how: str) -> None:
        for container in FakeEngine.of_host(replace(self.engine, down=False), HOST):
            if container.container_id == SPECS[index].container_id and how == "dies":
                with contextlib.suppress(NotThere):
                    self.engine.die(container.engine_id, 1)
            elif container.container_id == SPECS[index].container_id:
                self.engine.rows.pop(container.engine_id, None)

    @rule()
    def look(self) -> None:
        self.keeper.relist.look()

    @rule()
    def the_agent_restarts(self) -> None:
        self.keeper.close()
        self.journal.close()
        self.begin()

    @rule()
    def all_comes_to_rest(self) -> None:
        self.engine.down = False
        ends = time.monotonic() + 5
        while True:
            self.keeper.relist.look()
            if all(intent.step not in UNDER_WAY for intent in self.journal.intents()):
                break
            assert time.monotonic() < ends, self.journal.intents()
            time.sleep(0.01)
        self.keeper.close()
        self.keeper.relist.look()
        self.journal.close()
        self.begin()
        self.check_rest()

    def check_rest(self) -> None:
        found = [(each.container_id, each.generation) for each in self.engine.of_host(HOST)]
        wanted = {
            (intent.container_id, intent.generation): intent.step
            for intent in self.journal.intents()
            if intent.step in (Step.READY, Step.STOPPED)
        }
        assert len(found) == len(set(found))
        assert set(found) <= set(wanted), "what is not wanted is not there"
        for key, step in wanted.items():
            assert step is Step.STOPPED or key in found, "what is ready is there"
        for container_id, generation in found:
            assert generation > self.deleted.get(container_id, 0), "what was deleted is gone"

    @invariant()
    def events_are_numbered_without_a_gap_and_deletes_are_for_good(self) -> None:
        last: dict[tuple[str, int], int] = {}
        gone: dict[str, int] = {}
        for each in self.journal.outgoing(100_000):
            event: Any = parse_event(each.event)
            key = (event.container_id, event.generation)
            assert event.number == last.get(key, 0) + 1
            assert event.kind == "removed" or event.generation > gone.get(event.container_id, 0)
            last[key] = event.number
            if event.kind == "removed":
                gone[event.container_id] = event.generation


KeeperMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


class TestKeeperMachine(KeeperMachine.TestCase):
    """Run by pytest."""
