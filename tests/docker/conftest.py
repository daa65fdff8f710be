"""An agent as a process, and an image of several layers in the registry."""

import contextlib
import io
import os
from collections.abc import Iterator

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on


@pytest.fixture(scope="session")
def agent(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """One agent for all tests that do it no harm."""
    with agent_on(engine, queues, tmp_path_factory.mktemp("agent"), "--pull-seconds", "5") as running:
        yield running


@pytest.fixture(scope="session")
def layered(engine: Engine, registry: Registry) -> str:
    """A reference in the registry: three layers of thirty megabytes that do not compress, not on the engine."""
    with contextlib.closing(engine.client()) as client:
        lines = [f"FROM {TINY}", *(f"RUN dd if=/dev/urandom of=/blob{n} bs=1M count=30" for n in range(3))]
        client.images.build(fileobj=io.BytesIO("\n".join(lines).encode()), tag="berth-test/layers:1", rm=True)
        reference = registry.hold("berth-test/layers:1", f"berth-test/layers:{os.getpid()}")
        client.images.remove("berth-test/layers:1")
    return reference
