"""The agent on a real engine: what others do to its containers behind its back is told, as one thing, within 15 s."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Cause, Code
from chalicelib.contract.resources import Resources
from infra.ground.engine import Engine
from infra.hostagent.containers.relist import OOM_WINDOW_SECONDS
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on, numbers
from tests.inside import run_in

BOUND_SECONDS = 15

HOG = """
for each in 1 $(pidof sleep); do echo 1000 > /proc/$each/oom_score_adj; done
dd if=/dev/zero of=/dev/shm/hog bs=1M count=60
"""
"""Has the kernel end the main process first: what is held in a file is not the writer's."""


@pytest.fixture(scope="module")
def patient(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that looks as seldom as it does by default."""
    with agent_on(engine, queues, tmp_path_factory.mktemp("patient"), "--look-seconds", "10") as running:
        yield running


def told(agent: RunningAgent, spec: ContainerSpec, began: float) -> Cause:
    """Why it stopped, by the one event that says so."""
    agent.until(spec.container_id, "stopped")
    assert time.monotonic() - began < BOUND_SECONDS
    time.sleep(0.5)
    agent.poll()
    events = agent.about(spec.container_id)
    assert [event.kind for event in events].count("stopped") == 1
    assert numbers(events) == list(range(1, len(events) + 1))
    return events[-1].cause  # type: ignore[no-any-return]


def test_a_container_that_somebody_removes_is_always_told_as_vanished(patient: RunningAgent) -> None:
    for _ in range(8):
        spec = patient.ready()
        began = time.monotonic()

        patient.containers(spec.container_id)[0].remove(force=True)

        cause = told(patient, spec, began)
        assert (cause.code, cause.exit_code) == (Code.ENGINE_ERROR, None)
        assert "removed" in cause.message
        patient.delete(spec)


@pytest.mark.parametrize(
    ("how", "exit_code"),
    [
        (lambda container: container.kill(), 137),
        (lambda container: container.stop(timeout=5), 143),
        (lambda container: container.exec_run(["sh", "-c", "kill -TERM $(pidof sleep)"]), 143),
    ],
    ids=["kill", "stop", "inside"],
)
def test_a_container_that_ends_is_told_with_its_exit_code(
    patient: RunningAgent, how: Callable[[Any], Any], exit_code: int
) -> None:
    spec = patient.ready()
    [container] = patient.containers(spec.container_id)
    began = time.monotonic()

    how(container)

    cause = told(patient, spec, began)
    assert (cause.code, cause.exit_code) == (Code.EXITED, exit_code)
    patient.delete(spec)


def test_a_container_that_runs_out_of_memory_is_told_so(patient: RunningAgent) -> None:
    spec = patient.ready(resources=Resources(memory_mb=32, cpu_shares=1000, disk_mb=1024))
    [container] = patient.containers(spec.container_id)
    began = time.monotonic()

    said = run_in(container.client.api, container.id, ["sh", "-c", HOG]).output

    assert b"denied" not in said, said
    cause = told(patient, spec, began)
    assert (cause.code, cause.exit_code) == (Code.OOM, 137)
    patient.delete(spec)


def test_a_child_that_runs_out_of_memory_leaves_its_container_alive_and_a_later_kill_is_no_lack_of_memory(
    patient: RunningAgent,
) -> None:
    """The engine itself says `OOMKilled` then, of a container whose first process was only killed."""
    spec = patient.ready(resources=Resources(memory_mb=32, cpu_shares=1000, disk_mb=1024))
    [container] = patient.containers(spec.container_id)
    assert container.exec_run(["sh", "-c", "exec tail /dev/zero"]).exit_code == 137
    assert patient.inside(spec.container_id, "echo alive") == "alive\n"
    time.sleep(OOM_WINDOW_SECONDS + 1)
    patient.poll()
    assert [event.kind for event in patient.about(spec.container_id)][-1] == "ready"
    began = time.monotonic()

    container.kill()

    cause = told(patient, spec, began)
    assert (cause.code, cause.exit_code) == (Code.EXITED, 137)
    patient.delete(spec)


def test_what_happens_while_the_agent_is_away_is_told_when_it_is_back(patient: RunningAgent) -> None:
    removed, killed = patient.ready(), patient.ready()
    patient.child.kill()
    patient.containers(removed.container_id)[0].remove(force=True)
    patient.containers(killed.container_id)[0].kill()
    began = time.monotonic()

    patient.start()

    assert told(patient, removed, began).code is Code.ENGINE_ERROR
    ended = told(patient, killed, began)
    assert (ended.code, ended.exit_code) == (Code.EXITED, 137)


def test_a_container_removed_behind_our_back_can_be_deleted(patient: RunningAgent) -> None:
    spec = patient.ready()
    patient.containers(spec.container_id)[0].remove(force=True)
    patient.until(spec.container_id, "stopped")

    patient.delete(spec)

    assert patient.until(spec.container_id, "removed")[-1].cause.code is Code.USER
