"""One LocalStack for the suite, in host mode, from its own locked environment; where it cannot start, tests fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.localstack.server import Localstack, running_localstack
from tests.engines import DATA, say

ENVIRONMENT = Path(".berth/localstack/venv")


@pytest.fixture(scope="session")
def localstack() -> Iterator[Localstack]:
    with running_localstack(DATA / "localstack", ENVIRONMENT, say) as running:
        yield running
