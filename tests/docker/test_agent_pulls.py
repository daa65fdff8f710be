"""The agent on a real engine and a registry that stalls in the middle of a layer."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.contract.causes import Code
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, numbers

PORT = 5002


@pytest.fixture(scope="module")
def stalling(engine: Engine) -> Iterator[str]:
    """The address of a registry that begins every layer and ends none."""
    inside = ["nsenter", f"--net={engine.netns}"] if engine.netns else []
    script = str(Path(__file__).with_name("stalling_registry.py"))
    with subprocess.Popen([*inside, sys.executable, script, str(PORT)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield f"127.0.0.1:{PORT}"
        process.terminate()


@pytest.fixture(scope="module")
def patient(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that gives a pull all the time there is."""
    with agent_on(engine, queues, tmp_path_factory.mktemp("patient")) as running:
        yield running


def test_a_layer_that_stalls_is_given_up_and_told(agent: RunningAgent, stalling: str) -> None:
    spec = a_spec(image=f"{stalling}/stall/told:1")
    began = time.monotonic()

    agent.create(spec)

    assert agent.until(spec.container_id, "failed")[-1].cause.code is Code.IMAGE_TIMEOUT
    assert time.monotonic() - began < 15
    assert agent.containers(spec.container_id) == []


def test_pulls_that_stall_and_are_deleted_are_in_nobodys_way(
    patient: RunningAgent, stalling: str, registry: Registry
) -> None:
    stuck = [a_spec(image=f"{stalling}/stall/number{number}:1") for number in range(6)]
    for spec in stuck:
        patient.create(spec)
    time.sleep(1)

    began = time.monotonic()
    for spec in stuck:
        patient.delete(spec)
    for spec in stuck:
        events = patient.until(spec.container_id, "removed")
        assert numbers(events) == list(range(1, len(events) + 1))
    assert time.monotonic() - began < 5

    good = a_spec(image=registry.hold(TINY, f"berth-test/good:{time.time_ns()}"))
    began = time.monotonic()
    patient.create(good)
    patient.until(good.container_id, "ready")
    assert time.monotonic() - began < 15
