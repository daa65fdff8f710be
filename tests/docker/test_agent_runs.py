"""Commands in containers of a real agent: what they print, as whom, for how long, and that nothing of them is left."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec, ExecUser
from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on

MARK = "1000.25"
"""Seconds that nothing else here sleeps."""


@pytest.fixture(scope="module")
def spec(agent: RunningAgent) -> ContainerSpec:
    """A container that is ready."""
    return agent.ready()


def shell(agent: RunningAgent, spec: ContainerSpec, script: str, **changes: Any) -> dict[str, Any]:
    answer = agent.run(spec, "sh", "-c", script, **changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def sleepers() -> list[int]:
    """Processes of this machine that sleep as long as commands here do."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                line = (each / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if MARK.encode() in line:
                found.append(int(each.name))
    return found


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 15
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_both_outputs_and_the_code_come_back(agent: RunningAgent, spec: ContainerSpec) -> None:
    ran = shell(agent, spec, "echo out; sleep 0.2; echo err >&2; exit 3")

    assert (ran["stdout"], ran["stderr"], ran["output"]) == ("out\n", "err\n", "out\nerr\n")
    assert (ran["exit_code"], ran["timed_out"], ran["truncated"]) == (3, False, False)


def test_folder_and_variables_are_those_asked_for(agent: RunningAgent, spec: ContainerSpec) -> None:
    ran = shell(agent, spec, "pwd; echo $WORD", workdir="/etc", environment={"WORD": "a b"})

    assert ran["stdout"] == "/etc\na b\n"


def test_it_is_the_user_where_there_is_one_and_root_where_there_is_none(agent: RunningAgent) -> None:
    spec = agent.ready()
    assert shell(agent, spec, "id -u")["stdout"] == "1000\n"
    assert shell(agent, spec, "id -u", user=ExecUser.ROOT)["stdout"] == "0\n"

    agent.inside(spec.container_id, "sed -i /^user:/d /etc/passwd")

    assert shell(agent, spec, "id -u")["stdout"] == "0\n"
    assert shell(agent, spec, "id -u", user=ExecUser.USER)["stderr"] == "no such user in the container\n"


def test_root_inside_can_install_packages_and_is_not_root_of_the_host(agent: RunningAgent) -> None:
    spec = agent.ready(image=BOOKWORM)

    script = "touch /usr/bin/mine && chown 1:1 /usr/bin/mine && grep CapEff /proc/self/status"
    ran = shell(agent, spec, script, user=ExecUser.ROOT)

    assert ran["exit_code"] == 0
    effective = int(ran["stdout"].split()[1], 16)
    assert not effective & (1 << 21), "CAP_SYS_ADMIN"


def test_what_cannot_be_run_is_told_in_our_words(agent: RunningAgent, spec: ContainerSpec) -> None:
    cases = [
        (agent.run(spec, "no-such-program"), 127, "command not found\n"),
        (agent.run(spec, "/etc/passwd"), 126, "the command cannot be run\n"),
        (agent.run(spec, "true", workdir="/no/such"), 126, "the working directory does not exist\n"),
    ]
    for answer, code, words in cases:
        assert (answer.json()["exit_code"], answer.json()["stderr"], answer.json()["stdout"]) == (code, words, "")


def test_bytes_of_any_kind_come_back_as_text(agent: RunningAgent, spec: ContainerSpec) -> None:
    ran = shell(agent, spec, "head -c 100000 /dev/urandom; printf '\\303\\274'")

    assert ran["stdout"].endswith("ü")
    assert "\ufffd" in ran["stdout"]


def test_output_without_end_is_cut_and_ends_with_its_time(agent: RunningAgent, spec: ContainerSpec) -> None:
    began = time.monotonic()
    ran = shell(agent, spec, "yes", timeout_seconds=2)

    assert (ran["timed_out"], ran["truncated"], ran["exit_code"]) == (True, True, -1)
    assert set(ran["stdout"]) == {"y", "\n"}
    assert len(ran["stdout"]) <= 1024 * 1024
    assert time.monotonic() - began < 2 + 5


def test_more_than_fits_does_not_keep_a_command_from_its_end(agent: RunningAgent, spec: ContainerSpec) -> None:
    ran = shell(agent, spec, "head -c 3000000 /dev/zero | tr '\\0' x; exit 5")

    assert (ran["truncated"], ran["exit_code"], len(ran["stdout"])) == (True, 5, 1024 * 1024)


@pytest.mark.parametrize(
    "script",
    [
        f"sleep {MARK}",
        f"sleep {MARK} & sleep {MARK}; true",
        f"trap '' TERM INT HUP; sleep {MARK} & setsid sleep {MARK}; true",
        f"(sleep {MARK} &) ; sleep {MARK}",
    ],
)
def test_nothing_of_a_command_is_left_when_its_time_is_over(
    agent: RunningAgent, spec: ContainerSpec, script: str
) -> None:
    ran = shell(agent, spec, script, timeout_seconds=1.5)

    assert (ran["timed_out"], ran["exit_code"]) == (True, -1)
    assert sleepers() == []
    assert [each.status for each in agent.containers(spec.container_id)] == ["running"]


def test_what_a_dead_agent_left_behind_is_killed_by_the_next(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path) as agent:
        spec = agent.ready()
        waiting = threading.Thread(target=_ignored, args=(agent, spec))
        waiting.start()
        until(lambda: len(sleepers()) == 1)
        agent.child.kill()
        waiting.join()
        assert len(sleepers()) == 1

        agent.start()

        until(lambda: sleepers() == [])
        assert [each.status for each in agent.containers(spec.container_id)] == ["running"]


def _ignored(agent: RunningAgent, spec: ContainerSpec) -> None:
    """A command whose answer never comes."""
    try:
        agent.run(spec, "sleep", MARK)
    except Exception:  # noqa: BLE001 - the agent dies meanwhile
        return


def test_an_agent_that_is_stopped_takes_its_commands_along(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path) as agent:
        spec = agent.ready()
        waiting = threading.Thread(target=_ignored, args=(agent, spec))
        waiting.start()
        until(lambda: len(sleepers()) == 1)
        began = time.monotonic()

        agent.stop()

        waiting.join()
        assert time.monotonic() - began < 15
        assert sleepers() == []


def test_commands_that_take_long_hold_up_nothing_else(agent: RunningAgent, spec: ContainerSpec) -> None:
    others = [agent.ready() for _ in range(2)]
    answers: list[int] = []

    def long(where: ContainerSpec) -> None:
        answers.append(agent.run(where, "sleep", "60", user=ExecUser.ROOT, timeout_seconds=12).status_code)

    threads = [threading.Thread(target=long, args=(each,)) for each in others for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    refused = agent.run(others[0], "true")
    began = time.monotonic()
    assert agent.call("GET", "/v1/containers").status_code == 200
    assert shell(agent, spec, "echo here")["stdout"] == "here\n"
    quick = time.monotonic() - began
    for thread in threads:
        thread.join()

    assert (refused.status_code, refused.json()["code"]) == (503, "busy")
    assert quick < 6
    assert answers == [200] * 8


def test_a_container_that_ends_takes_its_commands_along(agent: RunningAgent) -> None:
    spec = agent.ready()
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(agent.run(spec, "sleep", MARK, user=ExecUser.ROOT)))
    waiting.start()
    until(lambda: len(sleepers()) == 1)

    agent.delete(spec)
    waiting.join()

    assert answers[0].json().get("exit_code") in (137, None), answers[0].text
    assert sleepers() == []
    assert agent.run(spec, "true").json()["code"] == "unknown"
