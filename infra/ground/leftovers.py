"""Processes of an engine: the text that its command lines have comes in, they are found and ended, and no others."""

import os
import signal
import time
from pathlib import Path

END_SECONDS = 20
_DAEMONS = ("dockerd",)
_SHIMS = ("containerd-shim-runc-v2", "containerd-shim")
_ALL = (*_DAEMONS, "containerd", *_SHIMS, "docker-proxy")


def end_containers(text: str) -> None:
    """End what runs in containers: with live-restore it would outlive its engine."""
    shims = _processes(_SHIMS, text)
    for pid in _children_of(shims):
        _signal(pid, signal.SIGKILL)


def end_engine(text: str) -> None:
    """End its daemon first, so that it can put things in order, then all the rest."""
    end_containers(text)
    for programs in (_DAEMONS, _ALL):
        pids = _processes(programs, text)
        for pid in pids:
            _signal(pid, signal.SIGCONT)
            _signal(pid, signal.SIGTERM)
        _await_end(pids)
    for pid in _processes(_ALL, text):
        _signal(pid, signal.SIGKILL)


def _processes(programs: tuple[str, ...], text: str) -> list[int]:
    """Processes of these programs, and of no others, whose command line has this text."""
    return [pid for pid in _pids() if text in _command_line(pid) and _program(pid) in programs]


def _pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _children_of(parents: list[int]) -> list[int]:
    return [pid for pid in _pids() if parents and _parent(pid) in parents]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _program(pid: int) -> str:
    return Path(_command_line(pid).partition(" ")[0]).name


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _await_end(pids: list[int]) -> None:
    ends = time.monotonic() + END_SECONDS
    while any(_command_line(pid) for pid in pids) and time.monotonic() < ends:
        time.sleep(0.05)
