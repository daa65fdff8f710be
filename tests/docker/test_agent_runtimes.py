"""The agent on a real engine: a container is run with the runtime of its spec, one of those the host reports."""

import pytest

from infra.ground.images import TINY
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, inspected


def test_the_host_reports_what_it_can_run_containers_with(agent: RunningAgent) -> None:
    report = agent.wait(lambda: agent.heartbeats)[-1].report

    assert "runc" in report.runtimes
    assert "crun" in report.runtimes or not agent.engine.owned


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_container_is_run_with_the_runtime_of_its_spec(agent: RunningAgent, runtime: str) -> None:
    spec = a_spec(image=TINY, runtime=runtime)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    found = inspected(agent, spec.container_id)
    output = agent.inside(spec.container_id, "id -u; grep -c . /proc/self/uid_map; grep NoNewPrivs /proc/self/status")

    agent.remove(spec)
    assert found["HostConfig"]["Runtime"] == runtime
    assert output.split() == ["0", "1", "NoNewPrivs:", "1"]


def test_a_runtime_that_the_engine_does_not_have_fails_the_creation(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, runtime="nonesuch")
    agent.create(spec)

    failed = agent.until(spec.container_id, "failed")[-1]

    assert failed.cause.code == "engine_error"
    assert "nonesuch" not in failed.cause.message
    assert agent.containers(spec.container_id) == []
