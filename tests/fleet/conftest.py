"""A disk with Debian, and a stage in moto whose machines boot from it, one after the other."""

from collections.abc import Iterator

import pytest

from tests.aws import moto_server
from tests.engines import CACHE, say
from tests.fleet.debian import Debian, debian_in
from tests.fleet.stage import Stage, stage_on


@pytest.fixture(scope="session")
def debian() -> Debian:
    return debian_in(CACHE.resolve(), say)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as aws:
        yield stage_on(aws, tmp_path_factory.mktemp("project"))
