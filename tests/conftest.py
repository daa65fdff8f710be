"""For every suite: no real AWS account can be reached; one engine, registry and set of queues serve all who ask."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from infra.ground.engine import Engine
from infra.ground.registry import Registry, registry_at
from tests.aws import Aws, moto_server
from tests.engines import DATA, engine_for_tests, say
from tests.examples import PROFILES

os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_REGION="eu-west-1",
    AWS_EC2_METADATA_DISABLED="true",
    AWS_ACCOUNT_ID_ENDPOINT_MODE="disabled",
)
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)


for name, profile in PROFILES.items():
    settings.register_profile(name, profile)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with engine_for_tests() as running:
        yield running


@pytest.fixture(scope="session")
def registry(engine: Engine) -> Iterator[Registry]:
    with registry_at(DATA / "registry", engine, say) as running:
        yield running


@pytest.fixture(scope="session")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield aws.with_stack()
