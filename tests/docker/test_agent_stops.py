"""The agent ended by a signal at any moment: quickly, and with nothing left behind when told so."""

import contextlib
import time
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import silent_registry
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on


def left_behind(agent: RunningAgent) -> tuple[list[str], list[str]]:
    with contextlib.closing(agent.engine.client()) as client:
        networks = [each.name for each in client.networks.list(names=[f"berth-{agent.host_id}"])]
    return [each.name for each in agent.containers()], networks


def test_an_agent_stopped_in_the_middle_of_creations_leaves_nothing(
    engine: Engine, queues: Aws, tmp_path: Path
) -> None:
    for pause in (0.0, 0.05, 0.15, 0.3):
        with agent_on(engine, queues, tmp_path / str(pause)) as agent:
            for _ in range(4):
                assert agent.create(a_spec(image=TINY)).status_code == 202
            time.sleep(pause)
            began = time.monotonic()

        assert time.monotonic() - began < 10
        assert agent.child.exit_code == 0, (agent.data / "agent.log").read_text()[-2000:]
        assert left_behind(agent) == ([], [])


@pytest.mark.parametrize("port", [5003])
def test_an_agent_stopped_while_a_registry_is_silent_does_not_wait_for_it(
    engine: Engine, queues: Aws, tmp_path: Path, port: int
) -> None:
    with silent_registry(engine, port) as address:
        with agent_on(engine, queues, tmp_path) as agent:
            agent.create(a_spec(image=f"{address}/silent/image:1"))
            time.sleep(1)
            began = time.monotonic()

        assert time.monotonic() - began < 5
    assert agent.child.exit_code == 0
    assert left_behind(agent) == ([], [])
