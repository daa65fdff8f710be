"""The smoke test against the local cloud: content with what works, and not with what does not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

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
