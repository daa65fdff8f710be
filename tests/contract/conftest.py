"""What contract tests run against: our stack on moto's server."""

from collections.abc import Iterator

import pytest

from tests.aws import Aws, moto_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield aws


@pytest.fixture(scope="module")
def stack(server: Aws) -> Aws:
    return server.with_stack()
