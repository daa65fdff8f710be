"""What contract tests run against: our stack on moto's server, or on LocalStack."""

from collections.abc import Iterator

import pytest

from tests.aws import Aws, cloud_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with cloud_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield aws


@pytest.fixture(scope="module")
def stack(server: Aws) -> Aws:
    return server.with_stack()
