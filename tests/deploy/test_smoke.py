"""The smoke test against the local cloud: content with what works, and not with what does not."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import ServerConnection, serve

from chalicelib.contract.signatures import new_private_key, public_key_of
from infra.aws.errors import DeployError
from infra.aws.smoke import Smoke
from infra.aws.template import read
from infra.local.background import in_thread
from infra.local.cloud import CloudSettings, LocalCloud, open_cloud
from tests.aws import ROOT


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The application without hosts; its keys are in Parameter Store, as on AWS."""
    settings = CloudSettings(
        project=ROOT,
        data=tmp_path_factory.mktemp("cloud"),
        template=ROOT / "infra/aws/stack.json",
        parameters={"Prefix": "berth-smoke"},
        environment={
            "BERTH_PREFIX": "berth-smoke",
            "BERTH_CONTROL_KEY_SECRET": "/berth-smoke/private",
            "BERTH_CONTROL_PUBLIC_KEY_PARAMETER": "/berth-smoke/public",
        },
        gateway_responses=read("gateway_responses.json"),
    )
    with in_thread(lambda: open_cloud(settings)) as running:
        key = new_private_key()
        ssm = running.client("ssm")
        ssm.put_parameter(Name="/berth-smoke/private", Value=key, Type="SecureString")
        ssm.put_parameter(Name="/berth-smoke/public", Value=public_key_of(key), Type="String")
        yield running


@pytest.fixture(scope="module")
def token(cloud: LocalCloud) -> str:
    environment = {**os.environ, **cloud.aws_environment, "BERTH_PREFIX": "berth-smoke", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "infra.aws.operator", "--json", "create-user"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["token"])


def test_a_deployment_that_works_passes_with_keys_from_the_parameter_store(cloud: LocalCloud, token: str) -> None:
    said: list[str] = []

    Smoke(cloud.url, cloud.url.replace("http", "ws", 1), token).run(said.append)

    assert len(said) == 3


@pytest.fixture
def relay_that() -> Iterator[Callable[[int], str]]:
    """Starts what answers every upgrade with a status; its address."""
    with contextlib.ExitStack() as stack:

        def start(status: int) -> str:
            def answer(line: ServerConnection, _request: object) -> object:
                return line.respond(status, "") if status != 101 else None

            server = stack.enter_context(serve(lambda _line: None, "127.0.0.1", 0, process_request=answer))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/terminal"

        yield start


def test_relays_are_looked_at_where_there_are_some(cloud: LocalCloud, relay_that: Callable[[int], str]) -> None:
    said: list[str] = []

    Smoke(cloud.url, cloud.url.replace("http", "ws", 1), None, relay_that(401)).run(said.append)

    assert "a relay answers, and refuses who has no token" in said


@pytest.mark.parametrize(
    ("status", "told"), [(101, "the relay admits who has no token"), (404, "the relay answered 404, not 401")]
)
def test_a_relay_that_does_not_refuse_fails(
    cloud: LocalCloud, relay_that: Callable[[int], str], status: int, told: str
) -> None:
    with pytest.raises(DeployError, match=told):
        Smoke(cloud.url, cloud.url.replace("http", "ws", 1), None, relay_that(status)).run(lambda line: None)


def test_a_relay_that_is_not_there_fails(cloud: LocalCloud) -> None:
    with pytest.raises(DeployError, match="the relay does not answer"):
        Smoke(cloud.url, cloud.url.replace("http", "ws", 1), None, "ws://127.0.0.1:9/x").run(lambda line: None)


def test_a_token_that_is_not_good_fails(cloud: LocalCloud) -> None:
    with pytest.raises(DeployError, match="/api/containers answered 401, not 200"):
        Smoke(cloud.url, cloud.url.replace("http", "ws", 1), "berth_wrong").run(lambda line: None)


def test_an_address_that_is_another_fails(cloud: LocalCloud) -> None:
    with pytest.raises(DeployError, match="answered 404"):
        Smoke(f"{cloud.url}x", cloud.url.replace("http", "ws", 1), None).run(lambda line: None)


def test_without_a_token_it_says_what_it_did_not_look_at(cloud: LocalCloud) -> None:
    said: list[str] = []

    Smoke(cloud.url, cloud.url.replace("http", "ws", 1), None).run(said.append)

    assert "not looked at" in said[-1]
