"""What is done to parts of a running Berth: a target and an action come in; the fault is over when the call returns."""

import contextlib
import os
import signal
import time
from collections.abc import Callable

from infra.local.berth import Berth

FUNCTIONS = {"api": "api_handler", "provision": "provision", "status": "status", "sweep": "sweep"}
TARGETS = (*FUNCTIONS, "agent", "dockerd", "moto")
ACTIONS = ("SIGKILL", "SIGSTOP", "restart")
KILL_ROUNDS, KILL_PAUSE_SECONDS = 12, 0.25
"""Functions are many short-lived processes: whichever works is killed, again and again for three seconds."""


def strike(berth: Berth, target: str, action: str, stop_seconds: float) -> None:
    """Do it, and return when it is over."""
    if action == "SIGSTOP":
        _stopped(berth, target, stop_seconds)
    elif target in FUNCTIONS and action == "restart":
        berth.deploy()
    elif target in FUNCTIONS:
        for _ in range(KILL_ROUNDS):
            _send(pids_of(berth, target), signal.SIGKILL)
            time.sleep(KILL_PAUSE_SECONDS)
    else:
        before = pids_of(berth, target)
        _send(before, signal.SIGKILL if action == "SIGKILL" else signal.SIGTERM)
        if target != "moto":
            until(lambda: pids_of(berth, target) not in ([], before), 60)


def _stopped(berth: Berth, target: str, seconds: float) -> None:
    """Stop what works, also what begins to meanwhile, and let all of it go on."""
    stopped: set[int] = set()
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            fresh = set(pids_of(berth, target)) - stopped
            _send(list(fresh), signal.SIGSTOP)
            stopped |= fresh
            time.sleep(0.1)
    finally:
        _send(list(stopped), signal.SIGCONT)


def pids_of(berth: Berth, target: str) -> list[int]:
    """The processes of a target."""
    if target in FUNCTIONS:
        return berth.cloud.pids().get(FUNCTIONS[target], [])
    if target == "moto":
        return berth.cloud.pids()["moto"]
    hosts = berth.hosts.values()
    found = [host.pid if target == "agent" else host.engine.pid for host in hosts]
    return [pid for pid in found if pid is not None]


def until(found: Callable[[], object], seconds: float) -> None:
    """Wait for it."""
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.1)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
