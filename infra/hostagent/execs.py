"""Commands inside containers: a call comes in, what the command printed and how it ended goes out.

A command is run once and never taken up again. Its id is on disk while it runs, so that whatever of it is left behind,
by an agent that died or an engine that did not answer, is killed later. Nothing of what is run or printed is logged.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from chalicelib.contract.agent_api import ExecCall, ExecUser, Ran, RefusalCode
from infra.hostagent.intents import Step
from infra.hostagent.journal import Journal
from infra.hostagent.keeper import CallRefused
from infra.hostagent.ports import STDERR, STDOUT, Command, Engine, EngineError, EngineRefused, Exited, NotThere
from infra.hostagent.printed import Printed

log = logging.getLogger("berth.agent.exec")

AT_ONCE = 32
"""Commands on a host; each holds a thread."""
AT_ONCE_IN_ONE = 4
"""Commands in one container."""

_ROOT = "0"
_NOT_FOUND, _NOT_POSSIBLE = 127, 126
"""What shells say of a program that is not there, and of one that cannot be run."""


@dataclass(slots=True)
class Execs:
    """Runs commands, so many at a time and no more."""

    engine: Engine
    journal: Journal
    folder: Path
    clock: Callable[[], float] = time.monotonic
    _running: Counter[str] = field(default_factory=Counter)
    _own: set[str] = field(default_factory=set)
    """Ids of commands that this process runs."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def run(self, call: ExecCall) -> Ran:
        """Run it to its end, or its time's; CallRefused when it was not run at all."""
        began = self.clock()
        with self._place(call.container_id):
            engine_id = self._engine_id(call)
            try:
                printed, exited = self._as_asked(engine_id, call, began + call.timeout_seconds)
            except (NotThere, EngineRefused) as error:
                raise _not_running() from error
        took = round((self.clock() - began) * 1000)
        ids = {"container": call.container_id, "code": exited.exit_code, "milliseconds": took}
        log.info("command timed out" if exited.left else "command ended", extra=ids)
        return _answer(printed, exited, took)

    @contextmanager
    def _place(self, container_id: str) -> Iterator[None]:
        with self._lock:
            if self._closed.is_set():
                raise CallRefused(RefusalCode.BUSY, "the agent is ending")
            if self._running.total() >= AT_ONCE or self._running[container_id] >= AT_ONCE_IN_ONE:
                raise CallRefused(RefusalCode.BUSY, "too many commands at once")
            self._running[container_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[container_id] -= 1
                if not self._running[container_id]:
                    del self._running[container_id]

    def _engine_id(self, call: ExecCall) -> str:
        intent = self.journal.get(call.container_id)
        if intent is None or intent.generation != call.generation or intent.step is not Step.READY:
            raise _not_running()
        if intent.engine_id is None:
            raise _not_running()
        return intent.engine_id

    def _as_asked(self, engine_id: str, call: ExecCall, ends: float) -> tuple[Printed, Exited]:
        """As the user asked for; as root where none was and the image has no `user`."""
        command = Command(tuple(call.command), _ROOT, call.workdir, tuple(call.environment.items()))
        as_user = replace(command, user=ExecUser.USER.value)
        if call.user is not ExecUser.ROOT:
            printed, exited = self._once(engine_id, as_user, ends)
            if call.user is not None or not _no_such_user(exited):
                return printed, exited
        return self._once(engine_id, command, ends)

    def _once(self, engine_id: str, command: Command, ends: float) -> tuple[Printed, Exited]:
        exec_id = self.engine.prepare(engine_id, command)
        printed = Printed()
        with self._noted(exec_id) as note:
            exited = self.engine.run_prepared(
                exec_id, printed.take, lambda: self._closed.is_set() or self.clock() >= ends
            )
            if exited.left:
                self._end(note)
            else:
                note.unlink(missing_ok=True)
        printed.close()
        return printed, exited

    @contextmanager
    def _noted(self, exec_id: str) -> Iterator[Path]:
        """On disk until it is known to have ended; what breaks the block leaves the note to `sweep`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        note = self.folder / exec_id
        with self._lock:
            self._own.add(exec_id)
        note.touch()
        try:
            yield note
        finally:
            with self._lock:
                self._own.discard(exec_id)

    def sweep(self) -> None:
        """Kill what was left behind; what cannot be killed now is tried again next time."""
        for note in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            with self._lock:
                ours = note.name in self._own
            if not ours:
                self._end(note)

    def _end(self, note: Path) -> None:
        """Kill it, and forget it once it has ended."""
        try:
            self.engine.end(note.name)
        except EngineError as error:
            log.warning("command cannot be killed yet", extra={"reason": type(error).__name__})
            return
        note.unlink(missing_ok=True)

    def close(self) -> None:
        """Begin no more, and kill what runs."""
        self._closed.set()


def _not_running() -> CallRefused:
    return CallRefused(RefusalCode.UNKNOWN, "there is no such container running")


def _no_such_user(exited: Exited) -> bool:
    """An engine says so, or says nothing at all of a command that it did not start."""
    return not exited.started and ("unable to find user" in exited.said or not exited.said)


def _answer(printed: Printed, exited: Exited, took: int) -> Ran:
    if not exited.started:
        code, said = _why(exited)
        return Ran(
            stdout="", stderr=said, output=said, exit_code=code, duration_ms=took, truncated=False, timed_out=False
        )
    return Ran(
        stdout=printed.of(STDOUT),
        stderr=printed.of(STDERR),
        output=printed.of(STDOUT, STDERR),
        exit_code=exited.exit_code,
        duration_ms=took,
        truncated=printed.truncated,
        timed_out=exited.left,
    )


def _why(exited: Exited) -> tuple[int, str]:
    """In words of ours: the engine's tell of its own inside."""
    if _no_such_user(exited):
        return _NOT_POSSIBLE, "no such user in the container\n"
    said = exited.said.lower()  # runtimes differ in their capitals
    if "chdir" in said or "cwd" in said:
        return _NOT_POSSIBLE, "the working directory does not exist\n"
    if "not found" in said or "no such file or directory" in said:
        return _NOT_FOUND, "command not found\n"
    return _NOT_POSSIBLE, "the command cannot be run\n"
