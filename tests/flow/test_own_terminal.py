"""`make shell`: a person's own terminal is the container's, key by key."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.flow.conftest import PATIENCE_SECONDS, User


@dataclass
class Screen:
    """What a person has before them: a terminal of 100 by 30 with the program in it."""

    terminal: int
    program: subprocess.Popen[bytes]
    shown: str = ""

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, pattern: str) -> str:
        """All that was shown, once this is among it."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends and not re.search(pattern, self.shown):
            if not select.select([self.terminal], [], [], 1)[0]:
                continue
            try:
                self.shown += os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:  # the program has ended
                break
        assert re.search(pattern, self.shown), self.shown
        return self.shown


@contextmanager
def shell(user: User, container: str, token: str | None = None, *options: str) -> Iterator[Screen]:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    program = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "shell", container, "--api", user.berth.url, *options],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"BERTH_TOKEN": user.token if token is None else token, "NO_PROXY": "127.0.0.1"},
    )
    os.close(its)
    try:
        yield Screen(ours, program)
    finally:
        program.kill()
        program.wait()
        os.close(ours)


@pytest.fixture
def container(new_user: Callable[..., User]) -> tuple[User, str]:
    user = new_user()
    made = user.create()
    user.until(str(made["id"]), "running")
    return user, str(made["name"])


def test_a_person_works_in_it_leaves_and_goes_on(container: tuple[User, str]) -> None:
    user, name = container

    with shell(user, name, None, "--user", "root") as screen:
        screen.until("# ")
        screen.type("echo $((6*7))-$(id -un); stty size; A=kept\r")
        screen.until(r"42-root[\s\S]*30 100")
        screen.type("\x1d")
        screen.until("come back within a minute")
        assert screen.program.wait(PATIENCE_SECONDS) == 0
    with shell(user, name, None, "--user", "root") as screen:
        screen.type("echo again-$A; exit\r")
        screen.until("again-kept")
        screen.until("the shell has ended")
        assert screen.program.wait(PATIENCE_SECONDS) == 0


def test_who_may_not_is_told_in_a_line(container: tuple[User, str], new_user: Callable[..., User]) -> None:
    user, name = container

    with shell(user, name, new_user().token) as screen:
        screen.until("container not found")
        assert screen.program.wait(PATIENCE_SECONDS) == 1
    with shell(user, name, "") as screen:
        screen.until("set BERTH_TOKEN")
        assert screen.program.wait(PATIENCE_SECONDS) == 1
