"""Killing a process with all it has begun, tried on processes of this machine."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.hostagent.commands.kill import begins_session, kill_tree, look_at


@contextmanager
def shell(script: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def noted(folder: Path, *names: str) -> list[int]:
    """The numbers that the script has written down, once all have."""
    until(lambda: all((folder / name).exists() and (folder / name).read_text().strip() for name in names))
    return [int((folder / name).read_text()) for name in names]


def test_children_and_theirs_and_those_in_sessions_of_their_own_go_too(tmp_path: Path) -> None:
    inner = f"sleep 100 & echo $! > {tmp_path}/grandchild; wait"
    script = f"sh -c '{inner}' & echo $! > {tmp_path}/child; setsid sleep 100 & echo $! > {tmp_path}/apart; wait"
    with shell(script) as process:
        numbers = noted(tmp_path, "child", "grandchild", "apart")

        assert kill_tree(process.pid)

        assert [look_at(number) for number in (process.pid, *numbers)] == [None] * 4


def test_one_whose_parent_has_ended_goes_with_its_session(tmp_path: Path) -> None:
    with shell(f"sh -c 'sleep 100 & echo $! > {tmp_path}/orphan'; sleep 100") as process:
        [orphan] = noted(tmp_path, "orphan")

        assert kill_tree(process.pid)

        assert look_at(orphan) is None


def test_a_process_that_begins_others_without_end_is_outrun(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/begun; while true; do sleep 50 & sleep 0.01; done"
    with shell(script) as process:
        noted(tmp_path, "begun")
        time.sleep(0.2)

        assert kill_tree(process.pid)
        found = [look_at(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit()]

    assert not [each for each in found if each is not None and each.session == process.pid]


def test_the_first_of_a_session_is_known_by_its_control_group() -> None:
    with shell("sleep 100 & wait") as process:
        until(lambda: len(in_session(process.pid)) == 2)
        [other] = in_session(process.pid) - {process.pid}
        own = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()[0].rpartition(":")[2]

        assert begins_session(process.pid, own)
        assert not begins_session(other, own)
        assert not begins_session(process.pid, "b" * 64)
    assert not begins_session(process.pid, own)


def test_others_live_on() -> None:
    with shell("sleep 100") as process, shell("sleep 100") as other:
        assert kill_tree(process.pid)
        assert look_at(other.pid) is not None
        other.kill()


def test_a_session_that_somebody_else_began_out_here_lives_on() -> None:
    with shell("sleep 100 & sleep 100 & wait") as process:
        until(lambda: len(in_session(process.pid)) == 3)
        first, *others = sorted(in_session(process.pid) - {process.pid})

        assert kill_tree(first)

        assert in_session(process.pid) == {process.pid, *others}


def in_session(number: int) -> set[int]:
    found = [look_at(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return {each.number for each in found if each is not None and each.session == number}


def test_nothing_is_left_to_kill_of_what_is_not_there() -> None:
    with shell("true") as process:
        process.wait()

    assert kill_tree(process.pid)
