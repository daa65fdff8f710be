"""`infra.hostagent.images.building.ImageStore`: the same promises asked of the fake and of Docker."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine as RunningEngine
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_images import DockerImages
from infra.hostagent.images.building import ImageStore
from infra.hostagent.ports import Engine, NotThere
from infra.hostagent.profile import Profile, profile_of
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.images import FakeImages


@dataclass
class Bench:
    engine: Engine
    store: ImageStore
    mark: str

    @property
    def reference(self) -> str:
        return f"berth-test/made:{self.mark}"

    def profile(self) -> Profile:
        spec = a_spec(image=TINY, network_mode=NetworkMode.NONE)
        made = profile_of(spec, "nobody", "unused", cores=1)
        return replace(made, name=f"berth-build-{self.mark}-1", container=made.container | {"labels": {}})


@pytest.fixture(params=["fake", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    mark = uuid.uuid4().hex[:8]
    if request.param == "fake":
        fake = FakeEngine(present={TINY})
        yield Bench(fake, FakeImages(fake), mark)
        return
    running: RunningEngine = request.getfixturevalue("engine")
    made = Bench(DockerEngine(running.url), DockerImages(running.url), mark)
    yield made
    for engine_id in made.store.containers_named(f"berth-build-{mark}"):
        made.engine.remove(engine_id)
    with contextlib.closing(running.client()) as client, contextlib.suppress(Exception):
        client.images.remove(made.reference, force=True)


def test_a_containers_files_become_an_image_with_labels(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())
    bench.engine.start(engine_id)
    bench.engine.run(engine_id, ["sh", "-c", "echo made > /mark"], "0", {}, 5)
    labels = {"berth.versions": '{"a": "1.2", "quoted": "\\"$HOME\\""}'}
    assert bench.store.layers(bench.reference) is None
    with pytest.raises(NotThere):
        bench.store.labels(bench.reference)

    bench.store.commit(engine_id, bench.reference, labels)

    assert bench.store.labels(bench.reference) == labels
    assert bench.store.layers(bench.reference) not in (None, bench.store.layers(TINY))
    assert bench.engine.image(bench.reference) is not None
    bench.engine.remove(engine_id)
    with pytest.raises(NotThere):
        bench.store.commit(engine_id, bench.reference, labels)


def test_layers_say_what_an_image_consists_of(bench: Bench) -> None:
    assert bench.store.layers(TINY) == bench.store.layers(TINY)
    assert bench.store.layers("never/seen:1") is None


def test_containers_are_found_by_what_their_names_begin_with_and_are_nobodys(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())

    assert bench.store.containers_named(f"berth-build-{bench.mark}-") == [engine_id]
    assert bench.store.containers_named("berth-build-of-another-host-") == []
    assert bench.engine.find(f"berth-build-{bench.mark}-1") is None
    assert bench.engine.of_host("nobody") == []
