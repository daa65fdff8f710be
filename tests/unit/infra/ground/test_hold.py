"""A folder is one process's: whoever comes second is told who has it, and gets it when that one is gone."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ground import __main__ as ground
from infra.ground.errors import NoEngine
from infra.ground.hold import LONGEST_COMMAND, Hold
from tests.aws import ROOT

HOLDER = """
import subprocess, sys
from pathlib import Path
from infra.ground.hold import Hold
hold = Hold(Path(sys.argv[1]))
hold.take()
child = subprocess.Popen(["sleep", "600"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holder_of(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds it, and has started a program that would inherit what can be inherited."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def test_a_folder_is_held_once_and_again_when_it_was_given_back(tmp_path: Path) -> None:
    one, two = Hold(tmp_path), Hold(tmp_path)
    one.take()
    one.take()

    with pytest.raises(NoEngine):
        two.take()
    one.give_back()
    one.give_back()
    two.take()

    with pytest.raises(NoEngine):
        one.take()
    two.give_back()


def test_two_folders_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    holds = [Hold(tmp_path / name) for name in ("engine", "engine-2")]
    for name in ("engine", "engine-2"):
        (tmp_path / name).mkdir()

    for hold in holds:
        hold.take()
    for hold in holds:
        hold.give_back()


def test_who_is_refused_is_told_by_whom_and_what_to_do(tmp_path: Path) -> None:
    with holder_of(tmp_path) as process, pytest.raises(NoEngine) as refused:
        Hold(tmp_path).take()

    said = str(refused.value)
    assert said.startswith(f"process {process.pid} ({sys.executable} -c import subprocess")
    assert said.endswith(f"uses the engine in {tmp_path}: wait until it ends, stop it, or use a clone of your own")
    assert "\n" not in said
    assert len(said) < LONGEST_COMMAND + len(str(tmp_path)) + 150


def test_a_process_that_is_killed_holds_nothing_though_what_it_started_lives(tmp_path: Path) -> None:
    with holder_of(tmp_path) as process:
        process.kill()
        process.wait()

        hold = Hold(tmp_path)
        hold.take()
        hold.give_back()


def test_one_who_has_not_said_who_it_is_holds_it_all_the_same(tmp_path: Path) -> None:
    hold = Hold(tmp_path)
    hold.take()
    (tmp_path / "lock").write_text("")

    with pytest.raises(NoEngine, match=r"^another process uses"):
        Hold(tmp_path).take()
    hold.give_back()


def test_clean_says_which_engine_is_used_and_fails_so_that_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = tmp_path / "[up]" / "engine-2"
    used.mkdir(parents=True)
    monkeypatch.setattr(ground, "DATA", tmp_path)
    monkeypatch.setattr(sys, "argv", ["ground", "clean"])
    hold = Hold(used)
    hold.take()

    assert ground.main() == 1

    assert f"uses the engine in {used}: wait until it ends" in capsys.readouterr().err
    hold.give_back()
    assert ground.main() == 0
