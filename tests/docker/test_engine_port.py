"""`infra.hostagent.ports.Engine`: the same promises asked of the fake and of Docker."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine as RunningEngine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from infra.hostagent.docker_engine import DockerEngine
from infra.hostagent.ports import Engine, EngineDown, EngineRefused, ImageMissing, NameInUse, NotThere
from infra.hostagent.profile import Limits, Profile, profile_of
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine


@dataclass
class Bench:
    engine: Engine
    host_id: str
    pullable: str
    missing: str
    limits: Callable[[str], Limits]
    """What the engine says is in force."""

    def profile(self, **changes: object) -> Profile:
        spec = a_spec(image=TINY, network_mode=NetworkMode.NONE, **changes)
        return profile_of(spec, self.host_id, "unused", cores=1)


@pytest.fixture(params=["fake", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    host_id = f"h{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        fake = FakeEngine(present={TINY}, remote={"registry.example/there:1"})
        yield Bench(fake, host_id, "registry.example/there:1", "registry.example/no/such:1", fake.limits.__getitem__)
        return
    running: RunningEngine = request.getfixturevalue("engine")
    registry: Registry = request.getfixturevalue("registry")
    pullable = registry.hold(TINY, f"berth-test/port:{host_id}")
    engine = DockerEngine(running.url)

    def limits(engine_id: str) -> Limits:
        with contextlib.closing(running.client()) as client:
            found = client.containers.get(engine_id).attrs["HostConfig"]
        assert found["Memory"] == found["MemorySwap"]
        return Limits(found["Memory"], found["NanoCpus"])

    yield Bench(engine, host_id, pullable, f"{registry.address}/no/such:1", limits)
    for container in engine.of_host(host_id):
        engine.remove(container.engine_id)


def test_a_container_is_created_found_started_and_removed(bench: Bench) -> None:
    profile = bench.profile()

    engine_id = bench.engine.create(profile)

    created = bench.engine.find(profile.name)
    assert created is not None
    assert (created.engine_id, created.running, created.ever_ran, created.going) == (engine_id, False, False, False)
    assert created.user_id == a_spec().user_id
    bench.engine.start(engine_id)
    bench.engine.start(engine_id)
    [running] = bench.engine.of_host(bench.host_id)
    assert (running.engine_id, running.running, running.generation) == (engine_id, True, 1)
    assert running.ever_ran
    assert bench.engine.answers(engine_id)
    bench.engine.remove(engine_id)
    bench.engine.remove(engine_id)
    assert bench.engine.of_host(bench.host_id) == []
    assert bench.engine.find(profile.name) is None


def test_a_name_can_be_used_once(bench: Bench) -> None:
    profile = bench.profile()
    bench.engine.create(profile)

    with pytest.raises(NameInUse):
        bench.engine.create(profile)


def test_a_container_of_an_image_that_is_not_there_is_refused(bench: Bench) -> None:
    profile = bench.profile()
    profile.container["image"] = "never/seen:1"

    with pytest.raises(ImageMissing):
        bench.engine.create(profile)
    assert not bench.engine.has_image("never/seen:1")
    assert bench.engine.has_image(TINY)


def test_a_stopped_container_is_not_running_and_may_start_again(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())
    bench.engine.start(engine_id)

    bench.engine.stop(engine_id, 5)
    assert [(each.running, each.ever_ran) for each in bench.engine.of_host(bench.host_id)] == [(False, True)]
    bench.engine.stop(engine_id, 5)
    bench.engine.start(engine_id)

    assert [each.running for each in bench.engine.of_host(bench.host_id)] == [True]


def test_limits_are_changed_while_it_runs_and_while_it_does_not(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())
    up, down = Limits(256 * 1024**2, 1_000_000_000), Limits(64 * 1024**2, 250_000_000)
    assert bench.limits(engine_id) == Limits(128 * 1024**2, 500_000_000)

    for limits in (up, down):
        bench.engine.resize(engine_id, limits)
        assert bench.limits(engine_id) == limits
    bench.engine.start(engine_id)
    for limits in (up, down, down):
        bench.engine.resize(engine_id, limits)
        assert bench.limits(engine_id) == limits

    bench.engine.stop(engine_id, 1)
    bench.engine.start(engine_id)
    assert bench.limits(engine_id) == down


def test_what_is_not_there_says_so(bench: Bench) -> None:
    nothing = Limits(64 * 1024**2, 250_000_000)
    for call in (
        lambda: bench.engine.resize("f" * 64, nothing),
        lambda: bench.engine.start("f" * 64),
        lambda: bench.engine.stop("f" * 64, 1),
    ):
        with pytest.raises(NotThere):
            call()


def test_an_image_is_there_when_its_pull_has_ended(bench: Bench) -> None:
    lines = list(bench.engine.pull(bench.pullable))

    assert lines
    assert bench.engine.has_image(bench.pullable)
    assert bench.pullable in bench.engine.images()


def test_a_pull_of_what_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises((EngineRefused, NotThere)):
        list(bench.engine.pull(bench.missing))


def test_a_network_is_made_once_and_again_when_it_is_gone(bench: Bench) -> None:
    name, bridge = f"berth-{bench.host_id}", f"bt{bench.host_id[:10]}"

    assert [bench.engine.ensure_network(name, bridge) for _ in range(2)] == [True, False]
    bench.engine.drop_network(name)
    bench.engine.drop_network(name)
    assert bench.engine.ensure_network(name, bridge)

    bench.engine.drop_network(name)


def test_an_engine_that_does_not_answer_is_down() -> None:
    for engine in (FakeEngine(down=True), DockerEngine("unix:///nowhere/docker.sock")):
        with pytest.raises(EngineDown):
            engine.of_host("h")
        with pytest.raises(EngineDown):
            engine.facts()


def test_giving_up_a_pull_that_is_not_under_way_is_nothing(bench: Bench) -> None:
    bench.engine.give_up("nobody/pulls:1")

    list(bench.engine.pull(bench.pullable))
    bench.engine.give_up(bench.pullable)

    assert bench.engine.has_image(bench.pullable)
