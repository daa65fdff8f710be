"""Pulls through the agent's gate on a real engine: pinned to a digest, kept from bombs and from private addresses."""

import base64
import contextlib
import gzip
import io
import json
import os
import shutil
import socket
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chalicelib.contract.causes import Code
from chalicelib.contract.kept_names import TEMPORARY
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.registry.manifests import PLAIN
from infra.hostagent.registry.network import Network
from infra.hostagent.registry.pins import pin_of
from infra.hostagent.registry.source import reads_zstd
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, inspected
from tests.fakes.registry import Answer, StubRegistry, bomb, stub_registry, tar_layer

PORT = 5003
RUN = uuid.uuid4().hex[:8]
"""In every name: an engine that is kept between runs has none of these images."""
BASIC = "Basic " + base64.b64encode(b"canary:canary-s3cr3t").decode()
CANARIES = ("canary-s3cr3t", BASIC.split()[1])


@pytest.fixture
def stub(engine: Engine) -> Iterator[StubRegistry]:
    """A registry that says what a test wants, on the engine's own loopback."""
    with stub_registry(Network(engine.netns).run(lambda: socket.create_server(("127.0.0.1", PORT)))) as running:
        yield running


@pytest.fixture
def victim(engine: Engine) -> Iterator[StubRegistry]:
    """A service of the engine's network that no image may make anybody talk to."""
    with stub_registry(Network(engine.netns).run(lambda: socket.create_server(("127.0.0.1", 5004)))) as running:
        yield running


def tiny_layer(engine: Engine) -> bytes:
    """The layer of the tiny image, gzipped, so that what is made of it runs."""
    with contextlib.closing(engine.client()) as client:
        saved = io.BytesIO(b"".join(client.images.get(TINY).save()))
    with tarfile.open(fileobj=saved) as tar:
        entry = tar.extractfile("manifest.json")
        assert entry is not None
        [layer] = json.loads(entry.read())[0]["Layers"]
        content = tar.extractfile(layer)
        assert content is not None
        return gzip.compress(content.read(), 1)


def names(engine: Engine) -> list[str]:
    """Every name of every image, those by digest too."""
    with contextlib.closing(engine.client()) as client:
        rows = client.api.images(all=True)
    return [name for row in rows for name in [*(row["RepoTags"] or []), *(row["RepoDigests"] or [])]]


def means(engine: Engine, reference: str) -> str | None:
    """The digest that a tag is pinned to on the engine."""
    found = DockerEngine(engine.url).image(reference)
    return found.digest if found else None


def made(agent: RunningAgent, image: str) -> tuple[str, str | None]:
    """A container of this image: its id, and the digest that was told of."""
    spec = a_spec(image=image)
    agent.create(spec)
    events = agent.until(spec.container_id, "ready")
    [created] = [event for event in events if event.kind == "created"]
    return spec.container_id, created.image_digest


def failed(agent: RunningAgent, image: str) -> Code:
    spec = a_spec(image=image)
    agent.create(spec)
    code: Code = agent.until(spec.container_id, "failed")[-1].cause.code
    return code


def test_a_tag_is_pinned_to_the_digest_that_it_named_and_told_of(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    layer = tiny_layer(engine)
    digest = stub.image(f"pinned/a{RUN}", "1", layer)
    reference = f"{stub.address}/pinned/a{RUN}:1"

    container, told = made(agent, reference)

    assert told == digest
    assert not [name for name in names(engine) if TEMPORARY in name]
    stub.image(f"pinned/a{RUN}", "1", layer, annotations={"moved": "yes"})
    by_tag, again = made(agent, reference)
    by_digest, same = made(agent, f"{stub.address}/pinned/a{RUN}@{digest}")
    assert again == same == digest
    assert len({inspected(agent, each)["Image"] for each in (container, by_tag, by_digest)}) == 1
    assert len(stub.asked("/manifests/")) == 1


def test_a_tag_that_has_moved_is_for_the_next_container_and_none_waits_for_it(
    engine: Engine, queues: Aws, stub: StubRegistry, tmp_path: Path
) -> None:
    name, layer = f"moving/a{RUN}", tiny_layer(engine)
    reference = f"{stub.address}/{name}:1"
    old = stub.image(name, "1", layer, tar_layer(version=b"1"))

    with agent_on(engine, queues, tmp_path) as agent:
        first, told = made(agent, reference)
        assert told == old
        image = inspected(agent, first)["Image"]
        agent.child.kill()
        agent.start()  # a process that has not asked about the tag itself
        new = stub.image(name, "1", layer, tar_layer(version=b"2"), tar_layer(more=os.urandom(2_000_000)))
        stub.slowly = 0.02

        assert made(agent, reference)[1] == old
        stub.slowly = 0
        agent.wait(lambda: means(engine, reference) == new)
        second, told = made(agent, reference)

        assert told == new
        assert agent.inside(second, "cat /version") == "2"
        assert (agent.inside(first, "cat /version"), inspected(agent, first)["Image"]) == ("1", image)
        by_digest, told = made(agent, f"{stub.address}/{name}@{old}")
        assert told == old
        assert agent.inside(by_digest, "cat /version") == "1"


def test_an_image_that_is_there_is_found_by_no_pin_and_no_id(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    digest = stub.image(f"private/kept{RUN}", "1", tiny_layer(engine))
    container, _ = made(agent, f"{stub.address}/private/kept{RUN}:1")
    image = inspected(agent, container)["Image"]

    pins = [pin_of(digest), f"docker.io/library/{pin_of(digest)}"]
    for name in (*pins, image, image[:19], image[7:19], "berth/holder:1"):
        assert failed(agent, name) in (Code.IMAGE_NOT_FOUND, Code.IMAGE_DENIED, Code.IMAGE_TIMEOUT), name


def test_an_image_for_several_machines_is_pinned_to_what_its_tag_names(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    digest = stub.index(f"many/a{RUN}", "1", stub.image(f"many/a{RUN}", "linux", tiny_layer(engine)))

    assert made(agent, f"{stub.address}/many/a{RUN}:1")[1] == digest


def test_a_bomb_is_given_up_and_leaves_the_disk_as_it_was(
    engine: Engine, queues: Aws, stub: StubRegistry, tmp_path: Path
) -> None:
    content = bomb(10)
    stub.image(f"bomb/a{RUN}", "1", content)
    with contextlib.closing(engine.client()) as client:
        root = engine.root + client.info()["DockerRootDir"]
    before = shutil.disk_usage(root).used

    assert len(content) < 11_000_000
    with agent_on(engine, queues, tmp_path) as agent:
        agent.patience = 120
        assert failed(agent, f"{stub.address}/bomb/a{RUN}:1") is Code.IMAGE_TOO_LARGE
    assert shutil.disk_usage(root).used - before < 0.01 * 10_000_000_000
    assert not [name for name in names(engine) if "bomb" in name or TEMPORARY in name]


def test_a_bomb_that_is_said_to_be_a_plain_layer_is_refused(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    manifest = stub.manifest_of(f"said/a{RUN}", tar_layer(fresh=RUN.encode()))
    manifest["layers"][0]["mediaType"] = PLAIN[0]
    stub.manifest(f"said/a{RUN}", "1", manifest)

    assert failed(agent, f"{stub.address}/said/a{RUN}:1") is Code.IMAGE_NOT_FOUND


def test_layers_of_zstd_are_for_engines_that_read_them_and_others_say_so(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    stub.zstd_image(f"zstd/a{RUN}", "1", tiny_layer(engine), tar_layer(fresh=RUN.encode()))
    with contextlib.closing(engine.client()) as client:
        version = client.version()["Version"]

    spec = a_spec(image=f"{stub.address}/zstd/a{RUN}:1")
    agent.create(spec)
    last = agent.until(spec.container_id, "ready" if reads_zstd(version) else "failed")[-1]

    if reads_zstd(version):
        assert agent.inside(spec.container_id, "cat /fresh") == RUN
    else:
        assert last.cause.code is Code.IMAGE_NOT_FOUND
        assert "zstd" in last.cause.message
        assert version in last.cause.message


def test_an_image_that_leads_elsewhere_is_refused_and_nobody_there_hears_of_it(
    agent: RunningAgent, engine: Engine, stub: StubRegistry, victim: StubRegistry
) -> None:
    layer = tiny_layer(engine)
    for name in ("manifest", "blob", "realm"):
        stub.image(f"astray/{name}{RUN}", "1", layer)
    for path in list(stub.answers):
        if path.startswith(f"/v2/astray/manifest{RUN}/manifests/"):
            stub.answers[path] = Answer(307, headers={"Location": f"{victim.url}{path}"})
        if path.startswith(f"/v2/astray/blob{RUN}/blobs/"):
            stub.answers[path] = Answer(307, headers={"Location": "http://169.254.169.254/latest/meta-data/"})

    assert failed(agent, f"{stub.address}/astray/manifest{RUN}:1") is Code.IMAGE_DENIED
    assert failed(agent, f"{stub.address}/astray/blob{RUN}:1") is Code.IMAGE_DENIED
    stub.challenge = f'Bearer realm="{victim.url}/token",service="x"'
    assert failed(agent, f"{stub.address}/astray/realm{RUN}:1") is Code.IMAGE_DENIED
    assert victim.seen == []


def test_layers_that_are_elsewhere_are_refused_before_any_is_asked_for(
    agent: RunningAgent, engine: Engine, stub: StubRegistry
) -> None:
    manifest = stub.manifest_of(f"foreign/a{RUN}", tiny_layer(engine))
    manifest["layers"][0]["urls"] = ["http://169.254.169.254/layer"]
    stub.manifest(f"foreign/a{RUN}", "1", manifest)

    assert failed(agent, f"{stub.address}/foreign/a{RUN}:1") is Code.IMAGE_NOT_FOUND
    assert stub.asked("/blobs/") == []


def test_a_private_image_is_pulled_with_the_deployments_credentials_which_nobody_sees(
    engine: Engine, queues: Aws, stub: StubRegistry, tmp_path: Path
) -> None:
    stub.image(f"private/a{RUN}", "1", tiny_layer(engine))
    stub.challenge, stub.accepts = 'Basic realm="private"', BASIC
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({"auths": {stub.address: {"username": "canary", "password": "canary-s3cr3t"}}}))
    credentials.chmod(0o600)

    with agent_on(engine, queues, tmp_path / "without") as agent:
        assert failed(agent, f"{stub.address}/private/a{RUN}:1") is Code.IMAGE_DENIED
    with agent_on(engine, queues, tmp_path / "with", "--registry-credentials", str(credentials)) as agent:
        made(agent, f"{stub.address}/private/a{RUN}:1")
        said = "".join(event.model_dump_json() for event in agent.events)
    written = b"".join(path.read_bytes() for path in (tmp_path / "with").rglob("*") if path.is_file())
    assert not [canary for canary in CANARIES if canary in said or canary.encode() in written]


def test_names_of_the_hub_come_through_the_mirror(agent: RunningAgent, engine: Engine, registry: Registry) -> None:
    registry.hold(TINY, f"berth-mirrored/tiny:{RUN}")

    _, digest = made(agent, f"berth-mirrored/tiny:{RUN}")

    assert digest is not None


@pytest.mark.parametrize("die_at", ["tag:before:1", "tag:after:2", "untag:before:1"])
def test_an_agent_killed_in_mid_pull_leaves_no_name_that_the_next_does_not_sweep(
    engine: Engine, queues: Aws, stub: StubRegistry, tmp_path: Path, die_at: str
) -> None:
    name = f"killed/{die_at.replace(':', '-')}{RUN}"
    digest = stub.image(name, "1", tiny_layer(engine), tar_layer(fresh=name.encode()))
    spec = a_spec(image=f"{stub.address}/{name}:1")

    with agent_on(engine, queues, tmp_path) as agent:
        agent.child.kill()
        agent.start(f"DockerEngine.{die_at}")
        with contextlib.suppress(httpx.HTTPError):
            agent.create(spec)
        agent.wait(lambda: agent.child.exit_code == -9)
        left = {each for each in names(engine) if TEMPORARY in each}
        agent.start()
        assert left.isdisjoint(names(engine))
        agent.create(spec)
        events = agent.until(spec.container_id, "ready")

    assert [event.image_digest for event in events if event.kind == "created"] == [digest]
    assert not [each for each in names(engine) if TEMPORARY in each]


def test_an_agent_killed_while_a_layer_comes_leaves_no_name(
    engine: Engine, queues: Aws, stub: StubRegistry, tmp_path: Path
) -> None:
    name = f"killed/layer{RUN}"
    stub.image(name, "1", tiny_layer(engine), tar_layer(fresh=os.urandom(1_000_000)))
    stub.slowly = 0.05
    spec = a_spec(image=f"{stub.address}/{name}:1")

    with agent_on(engine, queues, tmp_path) as agent:
        agent.create(spec)
        agent.wait(lambda: len(stub.asked("/blobs/")) >= 2)
        agent.child.kill()
        stub.slowly = 0
        agent.start()
        agent.create(spec)
        agent.until(spec.container_id, "ready")

    assert not [each for each in names(engine) if TEMPORARY in each]


def test_names_of_pulls_are_in_no_heartbeat(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    name = f"127.0.0.1:1/{TEMPORARY}{RUN}:passing"
    with agent_on(engine, queues, tmp_path) as agent, contextlib.closing(engine.client()) as client:
        assert client.api.tag(TINY, name.removesuffix(":passing"), "passing")
        agent.wait(lambda: name not in names(engine))
        seen = len(agent.heartbeats)
        agent.wait(lambda: len(agent.heartbeats) > seen + 1)

    told = {image for beat in agent.heartbeats for image in beat.report.images}
    assert TINY in told
    assert not [image for image in told if TEMPORARY in image]
