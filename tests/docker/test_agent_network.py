"""The agent on a real engine: its network, should somebody take it away, is there again after a look."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, inspected


@pytest.fixture
def own(engine: Engine, queues: Aws, tmp_path: Path) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path) as running:
        yield running


def networks(agent: RunningAgent) -> list[str]:
    with contextlib.closing(agent.engine.client()) as client:
        return [str(each.id) for each in client.networks.list(names=[f"berth-{agent.host_id}"])]


def test_a_network_that_vanished_is_made_again_and_used_by_new_and_old_containers(own: RunningAgent) -> None:
    old = a_spec(image=TINY)
    own.create(old)
    own.until(old.container_id, "ready")
    own.power(old, "stop")
    own.until(old.container_id, "stopped")
    [before] = networks(own)
    with contextlib.closing(own.engine.client()) as client:
        client.networks.get(before).remove()

    [after] = own.wait(lambda: networks(own))

    assert after != before
    new = a_spec(image=TINY)
    own.create(new)
    own.until(new.container_id, "ready")
    own.power(old, "start")
    own.until(old.container_id, "started")
    for spec in (old, new):
        [joined] = inspected(own, spec.container_id)["NetworkSettings"]["Networks"].values()
        assert joined["NetworkID"] == after
        assert joined["IPAddress"]
