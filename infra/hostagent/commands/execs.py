"""Commands inside containers: a call comes in, what the command printed and how it ended goes out.

A command is run once and never taken up again. Its id is on disk while it runs, so that whatever of it is left behind,
by an agent that died or an engine that did not answer, is killed later. Nothing of what is run or printed is logged.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from chalicelib.contract.agent_api import ExecCall, ExecUser, InsideCall, Ran, RefusalCode
from infra.hostagent.commands.printed import Printed
from infra.hostagent.containers.keeper import CallRefused
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.notes import Notes
from infra.hostagent.ports import STDERR, STDOUT, Command, Engine, EngineRefused, Exited, NoSuchUser, NotThere

log = logging.getLogger("berth.agent.exec")

AT_ONCE = 32
"""Commands on a host; each holds a thread."""
AT_ONCE_IN_ONE = 4
"""Commands in one container."""

ROOT = "0"
_NOT_FOUND, _NOT_POSSIBLE = 127, 126
"""What shells say of a program that is not there, and of one that cannot be run."""


class Heard(Protocol):
    """Keeps what a command prints."""

    def take(self, stream: int, piece: bytes) -> None:
        """The next piece."""

    def close(self) -> None:
        """Nothing more comes."""


Kept = TypeVar("Kept", bound=Heard)


@dataclass(slots=True)
class Execs:
    """Runs commands, so many at a time and no more."""

    engine: Engine
    journal: Journal
    folder: Path
    clock: Callable[[], float] = time.monotonic
    notes: Notes = field(init=False)
    _running: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.notes = Notes(self.engine, self.folder)

    def run(self, call: ExecCall) -> Ran:
        """Run it to its end, or its time's; CallRefused when it was not run at all."""

        def command(inside: Running) -> Command:
            return Command(tuple(call.command), ROOT, call.workdir, inside.environment(call.environment))

        return _answer(*self.once(call, command, Printed))

    def once(
        self,
        call: InsideCall,
        command: Callable[["Running"], Command],
        kept: Callable[[], Kept],
        given: bytes | None = None,
    ) -> tuple[Kept, Exited, int]:
        """Run a command as whom the call says: what was kept of it, how it ended, and after how many milliseconds.

        CallRefused when it was not run at all.
        """
        began = self.clock()
        with self._place(call.container_id):
            inside = self.running(call.container_id, call.generation)
            attempt = _Attempt(inside.engine_id, kept, given, began + call.timeout_seconds)
            try:
                heard, exited = self._as_asked(call.user, command(inside), attempt)
            except (NotThere, EngineRefused) as error:
                raise not_running() from error
        took = round((self.clock() - began) * 1000)
        ids = {"container": call.container_id, "code": exited.exit_code, "milliseconds": took}
        log.info("command timed out" if exited.left else "command ended", extra=ids)
        return heard, exited, took

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

    def running(self, container_id: str, generation: int) -> "Running":
        """The container that runs in this generation; CallRefused when there is none."""
        intent = self.journal.get(container_id)
        if intent is None or intent.generation != generation or intent.step is not Step.READY:
            raise not_running()
        if intent.engine_id is None:
            raise not_running()
        return Running(intent.engine_id, intent.spec.environment if intent.spec else {})

    def tried(self, engine_id: str, command: Command, seconds: float) -> Exited:
        """How a command of our own ended, which takes no place of a user's. NotThere, EngineRefused or EngineDown."""
        return self._run(command, _Attempt(engine_id, Printed, None, self.clock() + seconds))[1]

    def _as_asked(self, user: ExecUser | None, command: Command, attempt: "_Attempt[Kept]") -> tuple[Kept, Exited]:
        """As the user asked for; as root where none was and the image has no `user`."""
        first, *others = users_of(user)
        heard, exited = self._run(replace(command, user=first), attempt)
        for other in others:
            if no_such_user(exited):
                heard, exited = self._run(replace(command, user=other), attempt)
        return heard, exited

    def _run(self, command: Command, attempt: "_Attempt[Kept]") -> tuple[Kept, Exited]:
        heard = attempt.kept()
        try:
            exec_id = self.engine.prepare(attempt.engine_id, command)
        except NoSuchUser as error:
            heard.close()
            return heard, Exited(_NOT_POSSIBLE, started=False, said=error.text)
        with self.notes.kept(exec_id):
            exited = self.engine.run_prepared(
                exec_id, heard.take, lambda: self._closed.is_set() or self.clock() >= attempt.ends, attempt.given
            )
            if exited.left:
                self.notes.end(exec_id)
            else:
                self.notes.ended(exec_id)
        heard.close()
        return heard, exited

    def sweep(self) -> None:
        """Kill what was left behind; what cannot be killed now is tried again next time."""
        self.notes.sweep()

    def close(self) -> None:
        """Begin no more, and kill what runs."""
        self._closed.set()


@dataclass(frozen=True, slots=True)
class Running:
    """A container in which commands can be run."""

    engine_id: str
    given: Mapping[str, str]
    """The variables it was asked for with. One that was started ahead was made without (ADR 0032)."""

    def environment(self, own: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Its variables and a command's own, which win."""
        return tuple({**self.given, **own}.items())


@dataclass(frozen=True, slots=True)
class _Attempt(Generic[Kept]):
    """What stays the same whoever runs the command."""

    engine_id: str
    kept: Callable[[], Kept]
    given: bytes | None
    ends: float


def not_running() -> CallRefused:
    return CallRefused(RefusalCode.UNKNOWN, "there is no such container running")


def users_of(asked: ExecUser | None) -> tuple[str, ...]:
    """As whom it is tried, one after the other while the image has no such user."""
    if asked is None:
        return ExecUser.USER.value, ROOT
    return (ROOT if asked is ExecUser.ROOT else ExecUser.USER.value,)


def no_such_user(exited: Exited) -> bool:
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
    if no_such_user(exited):
        return _NOT_POSSIBLE, "no such user in the container\n"
    said = exited.said.lower()  # runtimes differ in their capitals
    if "chdir" in said or "cwd" in said:
        return _NOT_POSSIBLE, "the working directory does not exist\n"
    if "not found" in said or "no such file or directory" in said:
        return _NOT_FOUND, "command not found\n"
    return _NOT_POSSIBLE, "the command cannot be run\n"
