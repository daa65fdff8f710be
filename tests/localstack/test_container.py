"""LocalStack in its container, on a stand-in for its image: the same release from pip on Debian.

The registry of the suite gives the stand-in under the real name, so that choice, pull, container and doors are those of
the product. What the stand-in has not (DynamoDB Local, upstream's entrypoint) is asked by hand: docs/localstack.md.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from websockets.sync.client import connect

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from infra.local.hosts import LocalHost
from infra.localstack import container
from infra.localstack.application import Application
from infra.localstack.host import operator
from infra.localstack.running import Way, running_localstack
from infra.localstack.server import Localstack
from tests.engines import DATA, say
from tests.localstack.conftest import ENVIRONMENT
from tests.localstack.sockets import listening
from tests.localstack.stand_in import LABEL, served_stand_in
from tests.localstack.test_server import LOOPBACK, NEEDED

FRAME_SECONDS = 90


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[docker.DockerClient]:
    with contextlib.closing(engine.client()) as client:
        yield client


@pytest.fixture(scope="module")
def stand_in(engine: Engine, registry: Registry) -> Iterator[None]:
    with served_stand_in(engine, registry, ENVIRONMENT, say):
        yield


@pytest.fixture(scope="module")
def localstack(engine: Engine, stand_in: None) -> Iterator[Localstack]:
    """In place of the suite's own, for Berth in this module."""
    with running_localstack(engine, DATA / "localstack-container", ENVIRONMENT, say, Way.AUTO) as running:
        yield running


def test_a_registry_that_answers_gives_the_container_a_wall_all_round(
    localstack: Localstack, client: docker.DockerClient
) -> None:
    [found] = client.containers.list(filters={"label": container.LABEL})
    settings = found.attrs["HostConfig"]

    assert localstack.way == container.WAY
    assert found.image.labels["berth.stand_in"] == LABEL
    assert settings["NetworkMode"] == "none"
    assert [each.rpartition("/")[2] for each in settings["Binds"]] == ["berth-doors:rw"]
    assert {address for address, port in listening() if port == localstack.port} == {LOOPBACK}


def test_the_stand_in_has_every_service_that_berth_needs(localstack: Localstack) -> None:
    health = localstack.health()

    assert {name for name in NEEDED if health.get(name) in ("available", "running")} == NEEDED
    assert localstack.whose["DynamoDB"].startswith("moto's")


def test_the_image_is_asked_whether_it_has_a_database(
    stand_in: None, client: docker.DockerClient, tmp_path: Path
) -> None:
    assert container.has(client, tmp_path, "/opt/code/localstack/.venv/bin/localstack-supervisor")
    assert not container.has(client, tmp_path, container.DYNAMODB)


def test_a_life_with_the_stand_ins_lambdas_that_reach_agent_and_sockets(
    application: Application, host: LocalHost, url: str, client: docker.DockerClient
) -> None:
    headers = {"Authorization": f"Bearer {operator(application, 'create-user', '--tier', 'pro')['token']}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as api,
        connect(url.replace("http", "ws", 1), additional_headers=headers, proxy=None, open_timeout=60) as socket,
    ):

        def heard(kind: str) -> Any:
            while (frame := json.loads(socket.recv(timeout=FRAME_SECONDS)))["type"] != kind:
                assert frame.get("container", {}).get("status") != "error", frame
            return frame

        heard("list")
        created = api.post("/containers", json={"image": "debian:bookworm", "memory_mb": 256, "role": "barebone"})
        assert created.status_code == 202, created.text
        path = f"/containers/{created.json()['id']}"
        shown = heard("updated")["container"]
        assert shown["status"] == "running"
        printed = api.post(f"{path}/exec", json={"command": "echo from inside"})
        assert (printed.status_code, printed.json()["stdout"]) == (200, "from inside\n")
        assert api.delete(path).status_code == 200
        heard("deleted")


def test_what_a_killed_run_left_is_cleared_away_and_nothing_remains(
    engine: Engine, stand_in: None, client: docker.DockerClient, tmp_path: Path
) -> None:
    data, before, volumes = tmp_path / "one", _containers(client), _volumes(client)
    left = client.containers.run(TINY, "sleep 600", detach=True, labels=container.label(data))
    with container.in_container(engine, data, say) as running:
        running.client("sqs").create_queue(QueueName="left")
        [ours] = _containers(client) - before

    assert ours != left.id
    assert (_containers(client), _volumes(client)) == (before, volumes)
    assert running.port not in {port for _, port in listening()}
    assert not data.exists()


def _containers(client: docker.DockerClient) -> set[str]:
    return {str(each.id) for each in client.containers.list(all=True)}


def _volumes(client: docker.DockerClient) -> set[str]:
    return {str(each.name) for each in client.volumes.list()}
