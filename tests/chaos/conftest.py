"""Stages of the chaos suites: Berths whose parts may be killed, and hosts that may be cut off."""

from collections.abc import Iterator

import pytest

from infra.ground.engine import Engine
from tests.chaos.cells import Stage
from tests.chaos.matrix import open_stage
from tests.engines import DATA


@pytest.fixture(scope="package")
def stage(engine: Engine) -> Iterator[Stage]:
    with open_stage(engine, DATA / "chaos") as stage:
        yield stage
