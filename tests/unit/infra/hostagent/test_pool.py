"""Containers made ahead: which are made, that each goes to one container ever, and that a claim may fail anywhere."""

import json
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode, Resources, Shell
from infra.hostagent.network.networks import IDLE_SECONDS, PreparedNetworks
from infra.hostagent.ports import EngineContainer, Ran
from infra.hostagent.profile import engine_name
from infra.hostagent.quotas.disk import Unenforced
from infra.hostagent.warm.pool import (
    BLANK_MB,
    IMAGES,
    QUIET_SECONDS,
    STALE_SECONDS,
    YOUNG_SECONDS,
    PoolPlace,
    WarmPool,
)
from infra.hostagent.warm.wishes import EACH, WISH_SECONDS
from tests.aws import ROOT
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles
from tests.fakes.namespaces import FakeNamespaces
from tests.fakes.runtime import StillRuntime

IMAGE = "debian:bookworm"
OTHER = "alpine:latest"
HOST = "host"
DIGEST = "sha256:" + "a" * 64


class Bench:
    """A host in memory that keeps containers ready."""

    def __init__(self, blanks: int = 2) -> None:
        self.engine = FakeEngine(present={IMAGE, OTHER})
        self.namespaces = FakeNamespaces(self.engine)
        self.files = MemoryFiles()
        self.blanks = blanks
        self.restart()

    def restart(self) -> None:
        self.runtime = StillRuntime()
        self.networks = PreparedNetworks(self.namespaces, self.runtime, 2)
        place = PoolPlace(HOST, "network", 2, self.blanks * BLANK_MB)
        self.pool = WarmPool(self.engine, self.files, Unenforced(), self.networks, self.runtime, place)
        self.look()

    def look(self, later: float = 0.0) -> None:
        self.runtime.now += later
        found = self.engine.of_host(HOST)
        self.pool.look(found)
        self.networks.look(found)
        self.runtime.work()

    def claim(self, spec: ContainerSpec, image: str = IMAGE, digest: str | None = DIGEST) -> str | None:
        return self.pool.claim(spec, image, digest)

    def ask(self, times: int = 2, **changes: Any) -> None:
        """Somebody asks so often for what there is none of yet, and some time goes by."""
        for _ in range(times):
            assert self.claim(a_spec(**changes)) is None
        self.settle()

    def settle(self) -> None:
        for _ in range(3):
            self.look(QUIET_SECONDS)

    def idle(self) -> None:
        """Namespaces that nobody has go by then."""
        for _ in range(2):
            self.look(IDLE_SECONDS)

    def unclaimed(self) -> list[EngineContainer]:
        return [each for each in self.engine.of_host(HOST) if each.unclaimed]

    def found(self, spec: ContainerSpec) -> EngineContainer | None:
        return self.engine.find(engine_name(spec.container_id, spec.generation))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_asked_for_once_is_not_kept_ready_and_what_is_asked_for_twice_is(bench: Bench) -> None:
    bench.ask(1)
    assert bench.unclaimed() == []

    bench.ask(1)

    assert len(bench.unclaimed()) == 2
    assert all(each.running for each in bench.unclaimed())


def test_a_claim_makes_a_blank_that_container(bench: Bench) -> None:
    bench.ask()
    spec = a_spec(name="mine", user_id="somebody", labels={"a": "label"})

    engine_id = bench.claim(spec)

    found = bench.found(spec)
    assert found is not None
    assert (found.engine_id, found.running, found.unclaimed) == (engine_id, True, False)
    assert (found.container_id, found.generation) == (spec.container_id, spec.generation)
    assert bench.namespaces.hostnames[found.engine_id] == "mine"
    assert engine_name(spec.container_id, spec.generation) in bench.files.names()
    assert bench.files.rows[found.blank]["hostname"] == "mine\n"


def test_nobody_gets_what_another_got_and_what_is_gone_is_made_anew(bench: Bench) -> None:
    bench.ask()

    claimed = [bench.claim(a_spec()) for _ in range(3)]
    bench.settle()

    assert claimed[2] is None
    assert claimed[0] != claimed[1]
    assert len(bench.unclaimed()) == 2
    assert not {each.engine_id for each in bench.unclaimed()} & set(claimed)


def test_a_container_that_was_claimed_is_removed_with_all_that_it_had(bench: Bench) -> None:
    bench.ask()
    spec = a_spec()
    engine_id = bench.claim(spec)
    assert engine_id is not None
    name, holder = engine_name(spec.container_id, spec.generation), bench.engine.rows[engine_id][1].holder

    bench.engine.remove(engine_id)
    bench.networks.free(name, holder)
    bench.files.remove(name)
    bench.runtime.work()

    assert holder not in bench.engine.holders
    bench.settle()
    assert {*bench.files.names()} == bench.pool.names()


@pytest.mark.parametrize(
    "changes",
    [
        {"network_mode": NetworkMode.NONE},
        {"network_mode": NetworkMode.RESTRICTED, "allowed_domains": ["example.org"]},
        {"role": "go"},
        {"image": OTHER},
        {"runtime": "crun"},
        {"resources": Resources(memory_mb=256, cpu_shares=500, disk_mb=1024)},
        {"shell": Shell(enhanced=False, theme="minimal")},
        {"number": 3},
    ],
)
def test_only_what_differs_in_nothing_that_stays_is_given(bench: Bench, changes: dict[str, Any]) -> None:
    bench.ask()

    assert bench.claim(a_spec(**changes)) is None
    assert bench.claim(a_spec(), digest="sha256:" + "b" * 64) is None
    assert bench.claim(a_spec(), image="berth/role:other") is None
    assert bench.claim(a_spec()) is not None


def test_what_the_engine_need_not_know_makes_no_difference(bench: Bench) -> None:
    bench.ask()

    assert bench.claim(a_spec(environment={"KEY": "value"}, labels={"team": "red"}, name="other")) is not None


def test_no_image_of_strangers_runs_on_nobodys_account(bench: Bench) -> None:
    for _ in range(5):
        assert bench.claim(a_spec(image="docker.io/somebody/miner:1")) is None
    bench.settle()

    assert bench.unclaimed() == []
    offered = json.loads((ROOT / "chalicelib/domain/data/images.json").read_text())["images"]
    assert {*IMAGES} == {each["reference"] for each in offered}


def test_the_budget_holds_over_all_kinds_and_each_has_one_before_any_has_more() -> None:
    bench = Bench(blanks=3)
    bench.ask(2, role="barebone")
    for _ in range(5):
        bench.pool.claim(a_spec(), IMAGE, DIGEST)
    for _ in range(4):
        bench.settle()

    assert len(bench.unclaimed()) == 3
    assert [bench.claim(a_spec()) is not None for _ in range(3)] == [True, True, False]
    assert [bench.claim(a_spec(role="barebone")) is not None for _ in range(2)] == [True, False]


def test_no_more_of_one_kind_than_is_of_use() -> None:
    bench = Bench(blanks=EACH + 5)

    bench.ask(EACH + 5)
    for _ in range(5):
        bench.settle()

    assert len(bench.unclaimed()) == EACH


def test_blanks_are_made_while_nobody_waits(bench: Bench) -> None:
    for _ in range(2):
        bench.pool.claim(a_spec(), IMAGE, DIGEST)
    bench.engine.calls.clear()

    bench.pool.look(bench.engine.of_host(HOST))
    while bench.runtime.waiting:
        bench.runtime.waiting.pop(0)()
        if "create" in bench.engine.calls:
            break

    assert bench.runtime.now >= QUIET_SECONDS


def test_what_nobody_wants_any_more_goes_and_what_is_old_is_made_anew(bench: Bench) -> None:
    bench.ask()
    before = {each.engine_id for each in bench.unclaimed()}

    bench.look(STALE_SECONDS)
    bench.settle()
    anew = {each.engine_id for each in bench.unclaimed()}

    assert len(anew) == 2
    assert not before & anew
    bench.look(WISH_SECONDS)
    bench.settle()
    assert bench.unclaimed() == []
    assert bench.files.names() == []
    bench.idle()
    assert len(bench.engine.holders) == 2


def test_what_a_dead_process_had_made_is_swept_and_what_it_had_given_stays(bench: Bench) -> None:
    bench.ask()
    spec = a_spec()
    engine_id = bench.claim(spec)

    bench.restart()

    assert [each.engine_id for each in bench.engine.of_host(HOST)] == [engine_id]
    bench.idle()
    assert len(bench.engine.holders) == 3


def test_one_that_has_died_is_given_to_nobody(bench: Bench) -> None:
    bench.ask()
    for each in bench.unclaimed():
        bench.engine.die(each.engine_id, 137)

    bench.settle()

    assert len(bench.unclaimed()) == 2
    assert all(each.running for each in bench.unclaimed())


@pytest.mark.parametrize("call", ["rename", "name"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_claim_that_fails_leaves_nothing_or_the_container_itself(bench: Bench, call: str, lost: bool) -> None:
    bench.ask()
    spec = a_spec()
    if lost:
        bench.engine.lose_answer_of.add(call)
    else:
        for each in bench.unclaimed():
            bench.engine.rows.pop(each.engine_id)

    assert bench.claim(spec) is None

    found = bench.found(spec)
    assert (found is not None) == lost
    if found is not None:
        assert found.running
        assert found.holder in bench.engine.holders
        assert engine_name(spec.container_id, spec.generation) in bench.files.names()
    bench.look(YOUNG_SECONDS)
    bench.settle()
    assert len(bench.unclaimed()) == 2


def test_what_could_neither_be_made_nor_removed_is_gone_with_its_namespace_once_the_engine_answers(
    bench: Bench,
) -> None:
    bench.engine.lose_answer_of |= {"create", "discard"}
    bench.ask()
    bench.look(WISH_SECONDS)
    bench.settle()

    assert bench.unclaimed() == []
    assert bench.files.names() == []
    bench.idle()
    assert len(bench.engine.holders) == 2


def test_without_a_namespace_ready_none_is_made_until_there_is_one(bench: Bench) -> None:
    bench.namespaces.reaches = False
    bench.restart()
    bench.engine.holders.clear()
    bench.networks._wanted = 0

    bench.ask()

    assert bench.engine.of_host(HOST) == []
    assert bench.files.names() == []


def test_what_cannot_be_made_is_not_tried_for_ever(bench: Bench) -> None:
    bench.engine.outcomes = {"add_user": Ran(1, "no space left")}
    bench.engine.programs = {}
    bench.engine.answers = lambda _engine_id: False  # type: ignore[method-assign]
    bench.ask()
    assert bench.unclaimed() == []
    made = bench.engine.calls.count("create")

    for _ in range(5):
        bench.settle()

    assert bench.engine.calls.count("create") == made


def test_nothing_is_begun_once_the_process_ends(bench: Bench) -> None:
    bench.pool.close()

    bench.ask()

    assert bench.unclaimed() == []
