"""Terminals in containers of a real agent: by BusyBox's shell and by Bash, with all that people do at a terminal."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from chalicelib.contract.agent_api import ContainerSpec, ExecUser
from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM, TINY
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on
from tests.docker.terminals import Terminal, terminal

GRACE_SECONDS = 3
WRITTEN_SECONDS = 90.0
"""`sync` waits for all that the machine writes, tests beside this one too."""
NUMBERS = ("cpu_percent", "memory", "memory_limit", "disk_read", "disk_write", "disk_limit", "net_rx", "net_tx")


@pytest.fixture(scope="module")
def keeper(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that keeps shells which nobody attends for a short time."""
    options = ("--terminal-grace-seconds", str(GRACE_SECONDS))
    with agent_on(engine, queues, tmp_path_factory.mktemp("keeper"), *options) as running:
        yield running


@pytest.fixture(scope="module", params=[TINY, BOOKWORM])
def spec(request: pytest.FixtureRequest, keeper: RunningAgent) -> ContainerSpec:
    return keeper.ready(request.param)


@pytest.fixture
def shell(keeper: RunningAgent, spec: ContainerSpec) -> Iterator[Terminal]:
    """A shell of its own."""
    with terminal(keeper, spec, "newSession=true") as shell:
        yield shell


def processes(agent: RunningAgent, spec: ContainerSpec) -> list[str]:
    """The arguments of all that runs inside."""
    [container] = agent.containers(spec.container_id)
    return [row[1] for row in container.top(ps_args="-o pid,args")["Processes"]]


def until_gone(agent: RunningAgent, spec: ContainerSpec, *words: str) -> None:
    """Wait until nothing with these words in its arguments runs inside."""
    ends = time.monotonic() + 20
    while left := [each for each in processes(agent, spec) if any(word in each for word in words)]:
        assert time.monotonic() < ends, left
        time.sleep(0.2)


def test_a_prompt_comes_and_what_is_typed_is_done(shell: Terminal) -> None:
    shell.read("$ ")

    assert shell.run("echo grüße 漢字").strip() == "grüße 漢字"
    assert shell.kinds[:2] == ["shell_starting", "shell_ready"]


def test_it_is_a_login_shell_of_the_user_at_home_on_a_terminal(shell: Terminal, spec: ContainerSpec) -> None:
    said = shell.run("id -un; pwd; echo $HOME $TERM $LANG $USER; tty; echo $0 $-").split("\n")

    assert said[:3] == ["user", "/home/user", "/home/user xterm-256color C.UTF-8 user"]
    assert said[3].startswith("/dev/pts/")
    assert "i" in said[4].split()[1]


def test_root_is_root_at_home(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec, "newSession=true", user=ExecUser.ROOT) as shell:
        assert shell.run("id -un; pwd").split() == ["root", "/root"]


def test_the_shell_is_the_one_that_passwd_says(keeper: RunningAgent) -> None:
    spec = keeper.ready(BOOKWORM)
    keeper.run(spec, "sed", "-i", "s#^\\(user:.*\\):[^:]*$#\\1:/bin/bash#", "/etc/passwd", user="root")
    with terminal(keeper, spec) as shell:
        assert shell.run("echo $SHELL $BASH; shopt login_shell").split() == [
            "/bin/bash",
            "/bin/bash",
            "login_shell",
            "on",
        ]

    keeper.run(spec, "sed", "-i", "s#/bin/bash$#/usr/sbin/nologin#", "/etc/passwd", user="root")
    with terminal(keeper, spec, "id=other") as shell:
        assert shell.run("echo $SHELL").split() == ["/bin/sh"]


def test_it_has_the_size_that_was_asked_for_and_then_others(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec, "newSession=true&cols=132&rows=43") as shell:
        assert shell.run("stty size").split() == ["43", "132"]

        for cols, rows in ((100, 30), (0, 0), (65535, 65535), (77, 33)):
            shell.resize(cols, rows)
        time.sleep(0.5)

        assert shell.run("stty size").split() == ["33", "77"]


def test_what_runs_is_interrupted(shell: Terminal) -> None:
    shell.type("sleep 100\n")
    time.sleep(0.5)
    began = time.monotonic()
    shell.type("\x03")

    assert shell.run("echo back").strip().endswith("back")
    assert time.monotonic() - began < 10


def test_a_paste_of_ten_megabytes_arrives_whole(keeper: RunningAgent, spec: ContainerSpec, shell: Terminal) -> None:
    pasted = os.urandom(10 * 1024 * 1024)
    shell.type(f"stty raw -echo; echo read''y; head -c {len(pasted)} >/home/user/pasted; stty sane; echo don''e\n")
    shell.read("ready")

    for at in range(0, len(pasted), 256 * 1024):
        shell.socket.send(pasted[at : at + 256 * 1024])

    _read_pressing_enter(shell, "done")
    printed = keeper.run(spec, "sha256sum", "/home/user/pasted", user="root").json()["stdout"]
    assert printed.split()[0] == hashlib.sha256(pasted).hexdigest()


def _read_pressing_enter(shell: Terminal, words: str) -> None:
    """Linux keeps the end of some large pastes back until the next key is typed (docs/hosts.md)."""
    for _ in range(24):
        with contextlib.suppress(AssertionError):
            shell.read(words, seconds=5)
            return
        shell.type("\n")
    shell.read(words)


def test_a_flood_is_cut_and_everything_else_still_answers(keeper: RunningAgent, spec: ContainerSpec) -> None:
    other = keeper.ready()
    with terminal(keeper, spec, "id=flood") as shell:
        shell.type("tr '\\0' y </dev/zero\n")
        time.sleep(5)  # nobody reads
        for each in (spec, other):
            assert keeper.run(each, "echo", "here").json()["stdout"] == "here\n"
        with terminal(keeper, spec, "newSession=true") as second:
            assert second.run("echo here").strip() == "here"
        shell.read("[berth: output truncated]", seconds=60)
        shell.type("\x03")
        shell.run("echo over")
        assert shell.largest <= 4096


def test_a_flood_that_nobody_attends_is_taken_and_its_memory_bounded(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec, "id=left") as shell:
        shell.type("tr '\\0' y </dev/zero\n")
        shell.read("yyyy")
    before = _memory_mb(keeper)
    time.sleep(GRACE_SECONDS / 2)

    assert keeper.run(spec, "echo", "here").json()["stdout"] == "here\n"
    assert _memory_mb(keeper) - before < 20
    until_gone(keeper, spec, "tr ", "-l")


def _memory_mb(agent: RunningAgent) -> float:
    pages = Path(f"/proc/{agent.child.pid}/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6


def test_who_returns_finds_what_was_printed_meanwhile(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec, "id=back") as shell:
        shell.type("echo $$; sleep 1; echo mis''sed\n")
        shell.read("\r\n")
    time.sleep(2)

    with terminal(keeper, spec, "id=back") as shell:
        shell.read("missed")
        assert shell.kinds[0] == "shell_ready"


def test_a_second_socket_takes_over(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec) as first:
        first.run("mine=1")
        with terminal(keeper, spec) as second:
            assert first.closed() == (1000, "taken over")
            assert second.run("echo $mine").strip() == "1"


def test_a_shell_that_nobody_returns_to_is_gone_with_all_it_began(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    with terminal(keeper, spec) as shell:
        shell.run("sleep 1000 & (sleep 1001; true) & true")
    assert len([each for each in processes(keeper, spec) if "sleep 100" in each]) >= 2

    until_gone(keeper, spec, "sleep 100", "-l")
    assert list((keeper.data / "execs").iterdir()) == []


def test_who_attends_sees_what_the_container_uses(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    mega = 1024 * 1024
    with terminal(keeper, spec) as shell:
        first = shell.until_stats(lambda each: True)
        assert set(first) == {*NUMBERS, "disk_usage"}
        assert first["memory_limit"] == spec.resources.memory_mb * mega
        assert first["disk_limit"] == spec.resources.disk_mb * mega

        shell.type("while :; do :; done\n")
        busy = shell.until_stats(lambda each: each["cpu_percent"] > 20)
        assert busy["cpu_percent"] < 2 * spec.resources.cpu_shares / 10
        shell.type("\x03")
        shell.until_stats(lambda each: each["cpu_percent"] < 10)

        shell.run(f"dd if=/dev/zero of=/dev/shm/filled bs={mega} count=16")
        shell.until_stats(lambda each: each["memory"] > first["memory"] + 15 * mega)
        shell.type(f"dd if=/dev/urandom of=/tmp/written bs={mega} count=6; sync\n")
        shell.until_stats(lambda each: each["disk_usage"] >= first["disk_usage"] + 6 * mega, WRITTEN_SECONDS)
        assert shell.largest <= 4096


def test_what_a_container_uses_can_be_asked_for_while_it_runs(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    with terminal(keeper, spec) as shell:
        shell.run("(while :; do :; done) & true")
        used = keeper.usage(spec).json()
        assert set(used) == {*NUMBERS, "disk_usage"}
        assert used["cpu_percent"] > 5
        assert used["memory_limit"] == spec.resources.memory_mb * 1024 * 1024

    keeper.power(spec, "stop")
    keeper.until(spec.container_id, "stopped")
    assert keeper.usage(spec).status_code == 409


def test_numbers_go_on_for_who_returns_and_after_a_restart(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    for _ in range(2):
        with terminal(keeper, spec) as shell:
            shell.until_stats(lambda each: each["memory"] > 0)
    keeper.power(spec, "restart")
    keeper.until(spec.container_id, "started")

    with terminal(keeper, spec) as shell:
        shell.until_stats(lambda each: each["memory"] > 0)


def test_who_wants_what_is_printed_and_nothing_else_sees_no_numbers(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    with terminal(keeper, spec, "raw=1") as shell:
        shell.socket.send("sleep 3; echo do''ne\n")
        said = ""
        while "done" not in said:
            said += shell.socket.recv(timeout=20, decode=True)

    assert "cpu_percent" not in said


def test_many_shells_leave_nothing_behind(keeper: RunningAgent) -> None:
    spec = keeper.ready()

    def held_after(shells: int) -> tuple[int, int]:
        for number in range(shells):
            with terminal(keeper, spec, "newSession=true") as shell:
                shell.type("exit\n" if number % 2 else "sleep 1000\n")
                shell.read("\r\n")
                if number % 2:
                    shell.closed()
        until_gone(keeper, spec, "sleep 1000", "-l")
        time.sleep(1)
        return len(processes(keeper, spec)), len(_descriptors(keeper))

    processes_first, descriptors_first = held_after(20)  # threads keep connections to the engine
    processes_then, descriptors_then = held_after(30)

    assert processes_then == processes_first
    assert descriptors_then <= descriptors_first + 8, _descriptors(keeper)


def _descriptors(agent: RunningAgent) -> list[str]:
    """What the agent's process holds open."""
    found = []
    for each in Path(f"/proc/{agent.child.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(each.readlink()))
    return found


def test_when_the_shell_ends_so_does_the_socket(shell: Terminal) -> None:
    shell.type("echo by''e; exit\n")

    assert shell.closed() == (1000, "the shell has ended")
    assert "bye" in shell.printed


def test_a_shell_that_leaves_something_running_ends_too(keeper: RunningAgent, spec: ContainerSpec) -> None:
    with terminal(keeper, spec, "newSession=true") as shell:
        shell.type("sleep 60 & exit\n")

        assert shell.closed() == (1000, "the shell has ended")


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_container_that_goes_takes_its_terminals_with_it(keeper: RunningAgent, verb: str) -> None:
    spec = keeper.ready()
    with terminal(keeper, spec) as shell:
        shell.run("true")
        keeper.power(spec, "stop") if verb == "stop" else keeper.delete(spec)

        assert shell.closed() == (1000, "the shell has ended")
    keeper.until(spec.container_id, "stopped" if verb == "stop" else "removed")
    with pytest.raises(InvalidStatus) as refused, terminal(keeper, spec):
        pass
    assert refused.value.response.status_code == 409


def test_a_container_without_a_shell_says_so(keeper: RunningAgent) -> None:
    spec = keeper.ready()
    keeper.run(spec, "rm", "-f", "/bin/sh", user="root")

    with pytest.raises(InvalidStatus) as refused, terminal(keeper, spec):
        pass

    assert refused.value.response.status_code == 409
    assert b"/bin/sh" in (refused.value.response.body or b"")


def test_an_agent_that_stops_or_is_killed_leaves_no_shell(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path / "agent") as agent:
        spec = agent.ready()
        with terminal(agent, spec) as shell:
            shell.run("sleep 1000 & true")
            agent.child.kill()
        assert any("sleep 1000" in each for each in processes(agent, spec))

        agent.start()
        until_gone(agent, spec, "sleep 1000")

        with terminal(agent, spec) as shell:
            shell.run("true")
            agent.stop()
            assert shell.closed()[0] == 1012
        assert list((agent.data / "execs").iterdir()) == []
