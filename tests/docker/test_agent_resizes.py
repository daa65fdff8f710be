"""The agent on a real engine: a container is given other amounts while it runs, as it sees itself."""

import time

from chalicelib.contract.causes import Code
from chalicelib.contract.resources import Resources
from infra.ground.images import TINY
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, inspected, numbers

MEMORY = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
CPU = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
BEGAN = "cut -d' ' -f22 /proc/1/stat"
"""When its main process was started, in the kernel's ticks."""


def amounts(memory_mb: int, cpu_shares: int) -> Resources:
    return Resources(memory_mb=memory_mb, cpu_shares=cpu_shares, disk_mb=1024)


def seen_inside(agent: RunningAgent, container_id: str) -> tuple[int, int]:
    """MiB, and thousandths of a core per tenth of a second."""
    memory, cpu = (agent.inside(container_id, command) for command in (MEMORY, CPU))
    return int(memory) // 1024**2, int(cpu) // 100


def test_a_running_container_sees_its_new_amounts_without_a_restart(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, resources=amounts(128, 500))
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    before = inspected(agent, spec.container_id)["State"]
    began = agent.inside(spec.container_id, BEGAN)
    assert seen_inside(agent, spec.container_id) == (128, 500)

    for wanted in (amounts(256, 1000), amounts(64, 250)):
        assert agent.resize(spec, wanted).status_code == 202
        agent.wait(lambda wanted=wanted: agent.about(spec.container_id)[-1].kind == "resized"
                   and agent.about(spec.container_id)[-1].resources == wanted)  # fmt: skip
        assert seen_inside(agent, spec.container_id) == (wanted.memory_mb, wanted.cpu_shares)

    after = inspected(agent, spec.container_id)["State"]
    assert (after["Pid"], after["StartedAt"]) == (before["Pid"], before["StartedAt"])
    assert agent.inside(spec.container_id, BEGAN) == began
    events = agent.about(spec.container_id)
    assert numbers(events) == list(range(1, len(events) + 1))
    agent.delete(spec)


def test_a_stopped_container_starts_with_the_amounts_it_was_given(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, resources=amounts(128, 500))
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    agent.power(spec, "stop")
    agent.until(spec.container_id, "stopped")

    agent.resize(spec, amounts(96, 750))
    agent.until(spec.container_id, "resized")
    agent.power(spec, "start")
    agent.until(spec.container_id, "started")

    assert seen_inside(agent, spec.container_id) == (96, 750)
    agent.delete(spec)


def test_memory_that_is_in_use_is_not_taken_away(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, resources=amounts(128, 500))
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    [container] = agent.containers(spec.container_id)
    container.exec_run(["sh", "-c", "dd if=/dev/zero of=/dev/shm/held bs=1M count=50"])

    agent.resize(spec, amounts(16, 250))
    refused = agent.until(spec.container_id, "resized")[-1]

    assert refused.resources == spec.resources
    assert refused.cause.code is Code.ENGINE_ERROR
    assert seen_inside(agent, spec.container_id) == (128, 500)
    assert agent.containers(spec.container_id)[0].status == "running"
    agent.delete(spec)


def test_the_same_action_again_changes_nothing_and_survives_the_agent(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, resources=amounts(128, 500))
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    for _ in range(2):
        assert agent.resize(spec, amounts(64, 250), action="once").status_code == 202
    agent.child.kill()
    agent.start()
    agent.until(spec.container_id, "resized")

    assert agent.resize(spec, amounts(64, 250), action="once").status_code == 202
    time.sleep(1.5)
    agent.poll()

    assert [event.kind for event in agent.about(spec.container_id)].count("resized") == 1
    assert seen_inside(agent, spec.container_id) == (64, 250)
    assert agent.resize(a_spec(), amounts(64, 250)).json()["code"] == "unknown"
    agent.delete(spec)
