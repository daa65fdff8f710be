"""The agent killed -9 at each of its steps, on a real engine: one container, and every event once (FM 26-28, 41)."""

import contextlib
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Code
from chalicelib.contract.resources import Resources
from infra.ground.engine import Engine
from infra.ground.images import TINY
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, numbers

TOGETHER = 3
"""Containers that are on their way at once: one dies at the point, the others wherever they are."""

CREATING = [
    "Journal.accept:after:1",
    "DockerEngine.create:before:1",
    "DockerEngine.create:after:1",
    "DockerEngine.create:after:3",
    "DockerEngine.start:after:1",
    "DockerEngine.run:before:1",
    "Journal.advance:after:4",
    "Journal.advance:after:11",
    "Outbox._send:before:1",
    "Journal.sent:before:4",
]
REMOVING = [
    "Journal.accept:after:2",
    "DockerEngine.remove:before:1",
    "DockerEngine.remove:after:1",
    "Journal.advance:before:4",
    "Outbox._send:before:4",
    "Journal.sent:before:5",
]
"""The first three events are those that every process begins with: what runs is told again."""

RESIZING = ["DockerEngine.resize:before:1", "DockerEngine.resize:after:1"]


@pytest.fixture(scope="module")
def mortal(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path_factory.mktemp("mortal")) as running:
        yield running


def doomed(agent: RunningAgent, die_at: str, calls: list[Callable[[], httpx.Response]]) -> None:
    """Make the calls to an agent that dies there, and, as the control plane does, again to the one that follows it."""
    agent.child.kill()
    agent.start(die_at)
    for call in calls:
        with contextlib.suppress(httpx.HTTPError):
            call()
    ends = time.monotonic() + 20
    while agent.child.exit_code is None:
        assert time.monotonic() < ends, f"it never came to {die_at}"
        time.sleep(0.02)
    assert agent.child.exit_code == -9
    agent.start()
    for call in calls:
        assert call().status_code == 202


def complete(agent: RunningAgent, spec: ContainerSpec, last: str) -> list[str]:
    """Its events' kinds, once none is missing."""
    agent.until(spec.container_id, last)
    events = sorted(agent.about(spec.container_id), key=lambda event: event.number)
    assert numbers(events) == list(range(1, len(events) + 1))
    return [event.kind for event in events]


@pytest.mark.parametrize("die_at", CREATING)
def test_a_creation_is_finished_once_wherever_the_agent_died(mortal: RunningAgent, die_at: str) -> None:
    specs = [a_spec(image=TINY) for _ in range(TOGETHER)]

    doomed(mortal, die_at, [lambda spec=spec: mortal.create(spec) for spec in specs])

    for spec in specs:
        kinds = complete(mortal, spec, "ready")
        assert [kinds.count(kind) for kind in ("created", "ready", "failed")] == [1, 1, 0]
        [container] = mortal.containers(spec.container_id)
        assert container.status == "running"
        [ready] = [event for event in mortal.about(spec.container_id) if event.kind == "ready"]
        assert ready.engine_id == container.id
    for spec in specs:
        mortal.delete(spec)
    for spec in specs:
        mortal.until(spec.container_id, "removed")


@pytest.mark.parametrize("die_at", REMOVING)
def test_a_removal_is_finished_wherever_the_agent_died(mortal: RunningAgent, die_at: str) -> None:
    specs = [a_spec(image=TINY) for _ in range(TOGETHER)]
    for spec in specs:
        mortal.create(spec)
    for spec in specs:
        mortal.until(spec.container_id, "ready")
    mortal.wait(lambda: not mortal.unsent())

    doomed(mortal, die_at, [lambda spec=spec: mortal.delete(spec) for spec in specs])

    for spec in specs:
        kinds = complete(mortal, spec, "removed")
        assert kinds[:6] == ["progress", "progress", "created", "progress", "progress", "ready"]
        assert kinds[-1] == "removed"
        assert {e.cause.code for e in mortal.about(spec.container_id) if e.kind == "removed"} == {Code.USER}
        assert mortal.containers(spec.container_id) == []
        assert mortal.create(spec).json()["code"] == "tombstone"


@pytest.mark.parametrize("die_at", RESIZING)
def test_a_resizing_is_told_once_wherever_the_agent_died(mortal: RunningAgent, die_at: str) -> None:
    spec = a_spec(image=TINY)
    mortal.create(spec)
    mortal.until(spec.container_id, "ready")
    mortal.wait(lambda: not mortal.unsent())
    wanted = Resources(memory_mb=64, cpu_shares=250, disk_mb=1024)

    doomed(mortal, die_at, [lambda: mortal.resize(spec, wanted, action="once")])

    assert complete(mortal, spec, "resized").count("resized") == 1
    [container] = mortal.containers(spec.container_id)
    assert container.attrs["HostConfig"]["Memory"] == 64 * 1024**2
    mortal.remove(spec)
