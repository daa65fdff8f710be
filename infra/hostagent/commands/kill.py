"""Killing a process with all it has begun: its number comes in, nothing of it is left.

The engine can kill containers, but no command inside one. The process's own children, theirs, and whatever is still in
its session are stopped first, so that nothing is begun meanwhile, and then killed. What has made a session of its own
and whose parents have all ended is a daemon, and lives on, as after any shell.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 50
PAUSE_SECONDS = 0.01
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process; its number and when it began are together its own for good."""

    number: int
    parent: int
    session: int
    began: str


def kill_tree(root: int) -> bool:
    """Kill it and its own; true when nothing of it could be seen any more."""
    known: set[Process] = set()
    mates = _Mates.of(root)
    for _ in range(ROUNDS):
        new = _tree(mates, known) - known
        for process in new:
            _signal(process, signal.SIGSTOP)
        known |= new
        if not new:
            break
    for _ in range(ROUNDS):
        left = [process for process in known if _alive(process)]
        if not left:
            return True
        for process in left:
            _signal(process, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)
    return False


def begins_session(number: int, engine_id: str) -> bool:
    """Whether it is in that container and the first of its session, as commands are by runc."""
    process = look_at(number)
    if process is None or process.session != number:
        return False
    with contextlib.suppress(OSError):
        return engine_id in (_PROC / str(number) / "cgroup").read_text()
    return False


@dataclass(frozen=True, slots=True)
class _Mates:
    """Who is in one session with a process."""

    root: int
    session: int
    namespace: str | None
    """Its PID namespace, unless that is ours: sessions out here are nobody's to kill."""

    @classmethod
    def of(cls, root: int) -> "_Mates":
        found = look_at(root)
        namespace = _namespace(root)
        apart = namespace != _namespace(os.getpid())
        return cls(root, found.session if found else root, namespace if apart else None)

    def has(self, process: Process) -> bool:
        if process.session == self.root:
            return True
        known = self.namespace is not None and process.session == self.session
        return known and _namespace(process.number) == self.namespace


def _namespace(number: int) -> str | None:
    """The PID namespace of a process; None when it has ended or is not ours to look at."""
    with contextlib.suppress(OSError):
        return os.readlink(_PROC / str(number) / "ns/pid")
    return None


def _tree(mates: _Mates, known: set[Process]) -> set[Process]:
    """All processes there are that belong to the root, or to one that was seen to."""
    everyone = list(_everyone())
    members = {process.number for process in known} | {mates.root}
    while True:
        found = {p for p in everyone if p.number in members or p.parent in members or mates.has(p)}
        numbers = {process.number for process in found}
        if numbers <= members:
            return found
        members |= numbers


def _everyone() -> list[Process]:
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [process for process in map(look_at, numbers) if process is not None]


def look_at(number: int) -> Process | None:
    """The process of that number, unless it has ended."""
    try:
        fields = (_PROC / str(number) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, parent, session, began = fields[0], int(fields[1]), int(fields[3]), fields[19]
    return None if state in "ZX" else Process(number, parent, session, began)


def _alive(process: Process) -> bool:
    now = look_at(process.number)
    return now is not None and now.began == process.began


def _signal(process: Process, number: signal.Signals) -> None:
    """By a handle that cannot come to mean another process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(process.number)
        try:
            if _alive(process):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
