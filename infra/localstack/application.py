"""Berth as LocalStack's Lambdas: a LocalStack comes in, stack and functions are deployed to it, where to call goes out.

`infra.aws.deploy` does it, as on AWS: the stack by CloudFormation, functions and APIs by `chalice deploy`.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from infra.aws.configuration import TERMINAL_URL, functions_told
from infra.aws.deployment import PROJECT, Deployment
from infra.aws.finish import STAGE as API_STAGE
from infra.aws.parameters import RELAY_KEY
from infra.ground.packages import Say
from infra.localstack.server import REGION, Localstack
from infra.relay.api import Keys

STAGE = "dev"
DEPLOYED = ("app.py", "requirements.txt", "chalicelib", ".chalice")


@dataclass(frozen=True, slots=True)
class Application:
    """Berth deployed to a LocalStack."""

    localstack: Localstack
    deployment: Deployment
    rest_api: str

    @property
    def prefix(self) -> str:
        return self.deployment.prefix

    @property
    def url(self) -> str:
        """Base of the REST API, at LocalStack's own gateway."""
        return f"{self.localstack.endpoint}/_aws/execute-api/{self.rest_api}/{API_STAGE}"

    def relay_keys(self) -> Keys:
        """What a relay reads its tickets with."""
        parameters = self.deployment.parameters
        parameters.put_relay_key()
        return Keys(parameters.ensure_keys(), str(parameters.get(RELAY_KEY)))

    @property
    def environment(self) -> dict[str, str]:
        """What an operator's command needs to reach it."""
        return {**self.localstack.environment, "BERTH_PREFIX": self.prefix}


def deploy(localstack: Localstack, folder: Path, say: Say, terminal_url: str = "") -> Application:
    """Stack, keys, functions and APIs on this LocalStack; Chalice works in a copy of the project in this folder.

    With `terminal_url` functions send terminals' clients there.
    """
    project = _copied(folder)
    session = SimpleNamespace(client=localstack.client, region_name=REGION)
    deployment = Deployment(session, STAGE, project.resolve(), say=say)
    config = project / ".chalice/config.json"
    with _environment(localstack.environment), functions_told(config, STAGE, {TERMINAL_URL: terminal_url}):
        deployed, _first = deployment.up({})
    deployment.parameters.put_sockets_endpoint(f"{localstack.endpoint}/{API_STAGE}")
    return Application(localstack, deployment, str(deployed.one("rest_api")["rest_api_id"]))


def _copied(folder: Path) -> Path:
    """The project as Chalice deploys it; what a deployment elsewhere has left there is not taken."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in DEPLOYED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "deploy*"))
        else:
            shutil.copy(source, folder / name)
    return folder


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Chalice, a process of its own, asks the environment which AWS it deploys to."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
