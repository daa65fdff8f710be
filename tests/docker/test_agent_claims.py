"""Containers started ahead on a real engine: what a claim gives is what a creation gives, and nothing of it is lost."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec, ExecUser
from chalicelib.contract.resources import Resources, Shell
from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM, TINY
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, holders, inspected, numbers

PATIENCE_SECONDS = 60

WARM = ("--warm-memory", "128", "--warm-image", TINY, "--warm-image", BOOKWORM)

LISTED = re.compile(
    r"Created|State\.(Pid|StartedAt)|GraphDriver\.Data\..*"  # each container's own
    r"|Config\.Labels\.berth\.(blank|container|generation|host|spec|user)"  # whose it is, its name says; two hosts
    r"|Config\.Labels\.team"  # people's labels are in their record
    r"|Config\.Env"  # people's variables are given to every command (ADR 0032)
)
"""What may differ between a container that was claimed and one that was made when it was asked for (ADR 0025)."""

LOOK = """
exec 2> /dev/null
id; id user; hostname; for file in hosts hostname resolv.conf passwd group berth/shell.conf; do cat /etc/$file; done
env | sort; ulimit -a | grep -v files; ulimit -Hn
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/1/status /proc/self/status; tr '\\0' ' ' < /proc/1/cmdline
cut -d' ' -f4- /proc/self/mountinfo | sed 's/master:[0-9]*//' | sort; ls /sys/class/net; cat /proc/1/oom_score_adj
cd /sys/fs/cgroup; cat memory.max cpu.max pids.max memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max
ls -lan / /home /home/user /etc/berth | sed 's/  */ /g' | cut -d' ' -f1,3,4,9-
"""
"""Without the lower limit of open files: of two execs in one container, runc may give one the upper for it."""


@pytest.fixture(scope="module")
def keen(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that keeps what is asked for twice."""
    options = (*WARM, "--inventory-seconds", "1", "--grace-seconds", "1")
    with agent_on(engine, queues, tmp_path_factory.mktemp("keen"), *options) as running:
        yield running


def a_plain(**changes: Any) -> ContainerSpec:
    return a_spec(**({"image": TINY, "create_seconds": float(PATIENCE_SECONDS)} | changes))


def made(agent: RunningAgent, spec: ContainerSpec) -> list[Any]:
    """Its events once it is ready, however it came about."""
    assert agent.create(spec).status_code == 202
    return usable(agent, spec)


def usable(agent: RunningAgent, spec: ContainerSpec) -> list[Any]:
    def told() -> bool:
        return any(event.kind in ("ready", "claimed") for event in agent.about(spec.container_id))

    agent.wait(told, PATIENCE_SECONDS)
    return agent.about(spec.container_id)


def blanks(agent: RunningAgent) -> list[Any]:
    return [each for each in agent.containers("warm-") if each.status == "running"]


def waiting(agent: RunningAgent, spec: ContainerSpec) -> set[str]:
    """Engine ids of what is ready for such a container: it is asked for twice, and then waited for."""
    for _ in range(2):
        another = spec.model_copy(update={"container_id": a_spec().container_id})
        made(agent, another)
        agent.delete(another)
        agent.until(another.container_id, "removed")

    def ready() -> set[str]:
        mine = [each for each in blanks(agent) if each.attrs["HostConfig"]["Memory"] == spec.resources.memory_mb << 20]
        log = (agent.data / "agent.log").read_text()
        return {each.id for each in mine if each.id in log}

    return set(agent.wait(ready))


def claimed(agent: RunningAgent, spec: ContainerSpec) -> list[Any]:
    """Its events; it was one of those that waited."""
    there = waiting(agent, spec)
    events = made(agent, spec)
    assert events[-1].engine_id in there
    return events


def test_a_claim_is_told_in_one_event_with_every_stage_of_a_creation(keen: RunningAgent) -> None:
    spec = a_plain()

    events = claimed(keen, spec)

    [event] = events
    assert (event.kind, event.number) == ("claimed", 1)
    stages = [(each.stage.value, each.progress) for each in event.passed]
    assert stages == [("pulling", 60), ("creating", 65), ("starting", 75), ("configuring", 90)]
    [container] = keen.containers(spec.container_id)
    assert (container.id, container.name) == (events[-1].engine_id, f"berth-{spec.container_id}-1")
    assert keen.create(spec).status_code == 202
    assert len(keen.containers(spec.container_id)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"role": "barebone", "shell": Shell(), "resources": Resources(memory_mb=96, cpu_shares=250, disk_mb=256)},
        {"image": BOOKWORM, "shell": Shell(), "resources": Resources(memory_mb=160, cpu_shares=1000, disk_mb=1024)},
        {"image": BOOKWORM, "resources": Resources(memory_mb=192, cpu_shares=1000, disk_mb=512)},
        {"environment": {"GREETING": "a b", "HOME": "/var"}},
    ],
    ids=["tiny", "barebone", "shell", "debian", "variables"],
)
def test_one_that_was_claimed_differs_in_nothing_but_what_is_listed(
    keen: RunningAgent, engine: Engine, queues: Aws, tmp_path: Path, changes: dict[str, Any]
) -> None:
    spec = a_plain(name="twin", labels={"team": "red"}, **changes)
    claimed(keen, spec)
    other = spec.model_copy(update={"container_id": a_spec().container_id})

    with agent_on(engine, queues, tmp_path) as cold:
        cold.wait(lambda: len(holders(cold)) > 1)
        made(cold, other)
        warm_one, cold_one = facts(keen, spec), facts(cold, other)
        assert differences(warm_one, cold_one) == []
        looks = [
            agent.run(each, "sh", "-c", LOOK, user=ExecUser.ROOT).json()["stdout"]
            for agent, each in ((keen, spec), (cold, other))
        ]
        assert all(f"\n{name}={value}\n" in looks[0] for name, value in spec.environment.items())
        assert plain(keen, spec, looks[0]).splitlines() == plain(cold, other, looks[1]).splitlines()
    keen.remove(spec)


def facts(agent: RunningAgent, spec: ContainerSpec) -> dict[str, str]:
    """All that the engine says of it, by path, with the names of its own out of it."""
    found = dict(flat("", inspected(agent, spec.container_id)))
    return dict(zip(found, json.loads(plain(agent, spec, json.dumps(list(found.values())))), strict=True))


def plain(agent: RunningAgent, spec: ContainerSpec, text: str) -> str:
    found = inspected(agent, spec.container_id)
    holder = found["HostConfig"]["NetworkMode"].removeprefix("container:")
    folder = next((each["Source"] for each in found["Mounts"] if each["Destination"] == "/etc/hosts"), "none")
    own = {found["Id"]: "ID", holder: "HOLDER", os.path.dirname(folder): "FOLDER", found["Name"].strip("/"): "NAME"}
    for word, name in own.items():
        text = text.replace(word, name)
    return re.sub(
        r"[^\s\",=]*/overlay2/[^\s\",]+", "LAYER", re.sub(r"[^\s\"]*/containers/berth-[^/]+/", "FOLDER/", text)
    )


def flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from flat(f"{path}.{name}".lstrip("."), each)
    else:
        text = sorted(map(str, value)) if isinstance(value, list) else value
        yield path, str(text)


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    paths = sorted(one.keys() | other.keys())
    return [f"{p}: {one.get(p)} / {other.get(p)}" for p in paths if one.get(p) != other.get(p) and not LISTED.match(p)]


def test_it_stops_starts_restarts_and_is_resized_like_any_other_and_keeps_its_name(keen: RunningAgent) -> None:
    spec = a_plain(name="mine")
    claimed(keen, spec)
    keen.inside(spec.container_id, "echo kept > /kept")

    keen.power(spec, "stop")
    keen.until(spec.container_id, "stopped")
    keen.power(spec, "start")
    keen.until(spec.container_id, "started")
    keen.resize(spec, Resources(memory_mb=64, cpu_shares=500, disk_mb=1024))
    keen.until(spec.container_id, "resized")

    assert keen.inside(spec.container_id, "hostname; cat /etc/hostname /kept").split() == ["mine", "mine", "kept"]
    assert inspected(keen, spec.container_id)["HostConfig"]["Memory"] == 64 << 20
    assert keen.run(spec, "echo", "hello").json()["stdout"] == "hello\n"
    keen.remove(spec)
    assert keen.containers(spec.container_id) == []


def test_what_waits_is_in_no_inventory_and_no_count_and_two_users_never_share(keen: RunningAgent) -> None:
    first, second = a_plain(user_id="one"), a_plain(user_id="two")
    one = claimed(keen, first)[-1].engine_id
    keen.inside(first.container_id, "echo secret > /home/user/secret")
    two = claimed(keen, second)[-1].engine_id

    assert one != two
    assert "secret" not in keen.inside(second.container_id, "ls /home/user")
    keen.wait(lambda: keen.held(second.container_id))
    assert keen.held(second.container_id)[-1].user_id == "two"
    assert not [held for each in keen.inventories for held in each.containers if held.container_id.startswith("warm")]
    keen.wait(lambda: blanks(keen))
    count = len([each for each in keen.containers() if not each.name.startswith("berth-warm-")])
    keen.wait(lambda: keen.heartbeats[-1].report.containers <= count)


def test_the_agent_may_die_at_any_time_and_what_was_claimed_stays(keen: RunningAgent) -> None:
    spec = a_plain()
    events = claimed(keen, spec)
    keen.wait(lambda: not keen.unsent())
    left = {each.id for each in blanks(keen)}

    keen.child.kill()
    keen.start()

    keen.wait(lambda: not left & {each.id for each in blanks(keen)})
    [container] = keen.containers(spec.container_id)
    assert (container.id, container.status) == (events[-1].engine_id, "running")
    assert keen.run(spec, "hostname").json()["stdout"] == "web\n"


def test_a_host_that_lost_all_it_knew_takes_it_over_and_can_start_it_again(keen: RunningAgent) -> None:
    spec = a_plain(name="known")
    events = claimed(keen, spec)
    keen.child.kill()
    for file in keen.data.glob("journal.sqlite*"):
        file.unlink()
    for folder in (keen.data / "containers").iterdir():
        for file in folder.iterdir():
            file.unlink()

    keen.start()
    keen.wait(lambda: keen.held(spec.container_id) and keen.held(spec.container_id)[-1].step is None)
    assert keen.held(spec.container_id)[-1].user_id == ""
    keen.events.clear()
    again = spec.model_copy(update={"number": events[-1].number})
    assert keen.create(again).status_code == 202
    keen.until(spec.container_id, "started")
    keen.power(spec, "restart")
    keen.wait(lambda: [event.kind for event in keen.about(spec.container_id)].count("started") == 2)

    assert keen.inside(spec.container_id, "hostname; cat /etc/hostname").split() == ["known", "known"]


@pytest.mark.parametrize("where", ["DockerEngine.rename:before:1", "DockerEngine.rename:after:1"])
def test_killed_in_the_middle_of_a_claim_there_is_one_container_and_every_event_once(
    keen: RunningAgent, where: str
) -> None:
    spec = a_plain()
    keen.child.kill()
    keen.start(where)
    waiting(keen, spec)

    keen.create(spec)
    keen.wait(lambda: keen.child.exit_code is not None)
    assert keen.child.exit_code == -signal.SIGKILL
    keen.start()

    events = usable(keen, spec)
    assert numbers(events) == list(range(1, len(events) + 1))
    [container] = keen.containers(spec.container_id)
    assert {container.id} == {event.engine_id for event in events if event.kind in ("ready", "claimed")}
    keen.remove(spec)


def test_in_the_end_nothing_is_left_over(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path, *WARM) as agent:
        spec = a_plain()
        claimed(agent, spec)
        agent.remove(spec)

    assert agent.containers() == []
    assert holders(agent) == []
    assert list((tmp_path / "containers").iterdir()) == []
