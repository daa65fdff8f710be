"""An engine that hangs: its host is closed to new containers in time, nobody is told dead, and all goes on after it."""

import contextlib
import os
import signal
import time

import pytest

from tests.chaos.cells import STANDING, Stage
from tests.chaos.faults import until

HANG_SECONDS = 45
CLOSED_SECONDS = 40
"""30 s until three answers are missing, and a heartbeat."""


def test_a_hung_engine_closes_its_host_and_kills_nobody(stage: Stage) -> None:
    [host] = stage.berth.hosts.values()
    pid = host.engine.pid
    assert pid is not None
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: state(stage) == "engine down dev", CLOSED_SECONDS)
        waiting = stage.user.create()
        time.sleep(max(0.0, HANG_SECONDS - (time.monotonic() - began)))

        assert stage.user.statuses()[waiting] == "creating"
        assert list(stage.standing.statuses().values()) == ["running"] * STANDING
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    stage.auditor.settle(lambda: stage.user.statuses().get(waiting) == "running")
    assert list(stage.standing.statuses().values()) == ["running"] * STANDING
    assert state(stage) == "up dev"
    stage.user.delete(waiting)


def state(stage: Stage) -> str:
    [row] = stage.berth.operator("list-hosts")["hosts"]
    return str(row["state"])


@pytest.fixture(autouse=True)
def nobody_else(stage: Stage) -> None:
    """The stage is as its other users left it: at rest."""
    stage.auditor.settle()
