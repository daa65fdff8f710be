"""The agent's log on a real engine: every line is JSON that says where and about what, and none says a secret."""

import json
from pathlib import Path
from typing import Any

from chalicelib.contract.resources import Resources
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.keys import host_key
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on
from tests.fakes.world import CONTROL_KEY

SECRET = "hunter2-is-the-password"


def lines(agent: RunningAgent) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (agent.data / "agent.log").read_text().splitlines()]


def test_a_containers_whole_life_is_logged_with_ids_and_without_secrets(
    engine: Engine, queues: Aws, tmp_path: Path
) -> None:
    trace = "request-1"
    with agent_on(engine, queues, tmp_path) as agent:
        spec = a_spec(image=TINY, environment={"TOKEN": SECRET}, labels={"note": SECRET}, trace=trace)
        agent.create(spec)
        agent.until(spec.container_id, "ready")
        agent.power(spec, "stop", action="stop-1")
        agent.until(spec.container_id, "stopped")
        agent.resize(spec, Resources(memory_mb=64, cpu_shares=250, disk_mb=1024), action="resize-1")
        agent.until(spec.container_id, "resized")
        agent.containers(spec.container_id)[0].remove(force=True)
        agent.power(spec, "start", action="start-1")
        agent.wait(lambda: [each.kind for each in agent.about(spec.container_id)].count("stopped") == 2)
        failing = a_spec(image="127.0.0.1:5999/nobody/there:1", environment={"TOKEN": SECRET})
        agent.create(failing)
        agent.until(failing.container_id, "failed")
        agent.call("PUT", f"/v1/containers/{spec.container_id}", b"{}", issued_at=1)
        agent.remove(spec)

    said = lines(agent)
    assert {line["host"] for line in said} == {agent.host_id}
    about = [line for line in said if line.get("container") == spec.container_id]
    messages = [line["message"] for line in about]
    for message in ("creation accepted", "container ready", "call refused", "removal accepted", "container removed"):
        assert message in messages
    assert {line.get("trace") for line in about if line["message"] == "container ready"} == {trace}
    actions = {line["action"] for line in about if "action" in line}
    assert actions == {"stop-1", "resize-1", "start-1"}
    assert [line["container"] for line in said if line["message"] == "creation failed"] == [failing.container_id]
    text = (agent.data / "agent.log").read_text()
    for secret in (SECRET, "PRIVATE KEY", *CONTROL_KEY.splitlines()[1:2], *host_key(agent.data).splitlines()[1:2]):
        assert secret not in text
