"""The agent on a real engine: containers stopped, started and restarted, each once and told of in order."""

import time

from chalicelib.contract.causes import Code
from infra.ground.images import TINY
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, numbers


def test_a_container_is_stopped_started_and_restarted(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    assert agent.power(spec, "stop").status_code == 202
    stopped = agent.until(spec.container_id, "stopped")[-1]
    assert stopped.cause.code is Code.USER
    assert agent.containers(spec.container_id)[0].status == "exited"

    agent.power(spec, "start")
    agent.until(spec.container_id, "started")
    assert agent.containers(spec.container_id)[0].status == "running"

    agent.power(spec, "restart")
    agent.wait(lambda: [event.kind for event in agent.about(spec.container_id)].count("started") == 2)

    events = agent.about(spec.container_id)
    assert [event.kind for event in events[6:]] == ["stopped", "started", "stopped", "started"]
    assert numbers(events) == list(range(1, 11))
    assert len(agent.containers(spec.container_id)) == 1


def test_the_same_action_again_changes_nothing(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    for _ in range(3):
        assert agent.power(spec, "restart", action="once").status_code == 202
    agent.until(spec.container_id, "started")
    agent.power(spec, "restart", action="once")
    time.sleep(1.5)
    agent.poll()

    assert [event.kind for event in agent.about(spec.container_id)].count("started") == 1


def test_what_is_not_there_cannot_be_switched(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)

    answer = agent.power(spec, "stop")

    assert (answer.status_code, answer.json()["code"]) == (409, "unknown")


def test_an_agent_killed_while_it_switches_takes_it_up(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    agent.power(spec, "restart")
    time.sleep(0.05)
    agent.child.kill()

    agent.start()

    events = agent.until(spec.container_id, "started")
    assert numbers(events) == list(range(1, len(events) + 1))
    agent.wait(lambda: agent.containers(spec.container_id)[0].status == "running")
