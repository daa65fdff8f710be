"""One LocalStack for the suite, and Berth on it, once for every module that asks; where it cannot start, tests fail."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.local.background import in_thread
from infra.local.cloud import free_port
from infra.local.hosts import LocalHost
from infra.localstack.application import Application, deploy
from infra.localstack.gateway import open_gateway, terminal_url
from infra.localstack.host import open_host
from infra.localstack.running import running_localstack, wished
from infra.localstack.server import Localstack
from tests.engines import DATA, say
from tests.localstack import stand_in

ENVIRONMENT = Path(".berth/localstack/venv")


@pytest.fixture(scope="session")
def localstack(engine: Engine) -> Iterator[Localstack]:
    """In its container where a registry gives the real one."""
    with contextlib.closing(engine.client()) as client:
        stand_in.forget(client)
    with running_localstack(engine, DATA / "localstack", ENVIRONMENT, say, wished()) as running:
        yield running


@pytest.fixture(scope="module")
def port() -> int:
    return free_port(0, "--port")


@pytest.fixture(scope="module")
def application(localstack: Localstack, port: int) -> Application:
    return deploy(localstack, DATA / "localstack-project", say, terminal_url(port))


@pytest.fixture(scope="module")
def url(application: Application, port: int) -> Iterator[str]:
    with in_thread(lambda: open_gateway(application, port)) as running:
        yield running


@pytest.fixture(scope="module")
def host(application: Application, engine: Engine, url: str) -> Iterator[LocalHost]:
    """Heard of after functions know where `@connections` is: they ask once per process."""
    quick = ("--look-seconds", "1", "--heartbeat-seconds", "2")
    with in_thread(lambda: open_host(application, engine, DATA / "localstack-host", *quick)) as running:
        yield running
