"""`infra.hostagent.images.collection` on a real engine: names and images go as it says, and it keeps what it needs."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_images import DockerImages
from infra.hostagent.images.collection import IDLE_SECONDS, Collection, HeldImage
from infra.hostagent.profile import profile_of
from infra.hostagent.registry.pins import pin_of
from tests.builders import a_spec
from tests.fakes.runtime import StillRuntime


class OwnImages(DockerImages):
    """Of the engine's images those of one test; others that the engine has belong to other tests."""

    def __init__(self, url: str, mark: str) -> None:
        super().__init__(url)
        self.mark = mark
        self.ids: set[str] = set()

    def held(self) -> list[HeldImage]:
        return [each for each in super().held() if each.id in self.ids]


@pytest.fixture
def shelf(engine: Engine) -> Iterator[OwnImages]:
    images = OwnImages(engine.url, uuid.uuid4().hex)
    yield images
    with contextlib.closing(engine.client()) as client:
        for engine_id in images.containers_named(f"berth-{images.mark}"):
            client.containers.get(engine_id).remove(force=True)
        for image_id in images.ids:
            with contextlib.suppress(Exception):
                client.images.remove(image_id, force=True)


def made(engine: Engine, shelf: OwnImages, *names: str, base: str = TINY) -> str:
    """An image of its own on that one, with these names; its id."""
    with contextlib.closing(engine.client()) as client:
        docker: Any = client
        container = docker.containers.create(base, ["true"], name=f"berth-{shelf.mark}-making")
        built = container.commit(changes=f"LABEL mark={uuid.uuid4().hex}")
        container.remove()
        for name in names:
            repository, _, tag = name.rpartition(":")
            built.tag(repository, tag)
    shelf.ids.add(str(built.id))
    return str(built.id)


def test_on_a_full_disk_images_go_that_no_container_needs(engine: Engine, shelf: OwnImages) -> None:
    tag, role = f"berth-test/{shelf.mark}:1", f"berth/role:{shelf.mark}"
    digest = f"sha256:{uuid.uuid4().hex}{uuid.uuid4().hex}"
    unused = made(engine, shelf, pin_of(digest), pin_of(digest, tag), tag)
    base = made(engine, shelf, pin_of(f"sha256:{uuid.uuid4().hex}{uuid.uuid4().hex}"))
    used = made(engine, shelf, role, base=base)
    own = made(engine, shelf, f"own/{shelf.mark}:1")
    docker, spec = DockerEngine(engine.url), a_spec(container_id=shelf.mark, network_mode=NetworkMode.NONE)
    docker.create(profile_of(spec, "nobody", "unused", cores=1, image=role))
    runtime = StillRuntime()
    collection = Collection(shelf, runtime, lambda: 1.0)

    collection.collect()
    assert {each.id for each in shelf.held()} == {unused, base, used, own}
    runtime.now += IDLE_SECONDS
    collection.collect()

    assert {each.id for each in shelf.held()} == {base, used, own}
    assert shelf.layers(tag) is None
    docker.discard(f"berth-{shelf.mark}-1")
    runtime.now += IDLE_SECONDS
    collection.collect()
    assert {each.id for each in shelf.held()} == {own}
