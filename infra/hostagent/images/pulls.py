"""One pull per image, shared by all who wait for it: a reference comes in, percentages go out until it is there."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.containers.creation import Tell
from infra.hostagent.failures import PullTimedOut, TimedOut
from infra.hostagent.images.pull_progress import PullProgress
from infra.hostagent.ports import Engine, EngineDown, ImageMissing
from infra.hostagent.registry.pins import is_kept
from infra.hostagent.registry.references import parse

log = logging.getLogger("berth.agent.pulls")

TICK_SECONDS = 0.2
"""How often a waiter is told; no image is so small that more would help."""


@dataclass(slots=True)
class _Pull:
    ends: float | None = None
    """Monotonic time when it has taken too long; None while it waits for its turn."""
    percent: int = 15
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
    waiters: int = 0
    holds_slot: bool = False


class Source(Protocol):
    """Where images are pulled from: the engine by itself, or one that looks first (`registry.source`)."""

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        """Have it on the engine; the engine's progress lines as they come."""

    def give_up(self, reference: str) -> None:
        """Have a pull of it that is under way end soon; nothing when there is none. Never waits."""

    def used(self, reference: str) -> None:
        """A container is made from what the host has under this name. Never waits."""


@dataclass(frozen=True, slots=True)
class Direct:
    """The engine by itself, which keeps what it has."""

    engine: Engine

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        return self.engine.pull(reference)

    def give_up(self, reference: str) -> None:
        self.engine.give_up(reference)

    def used(self, reference: str) -> None:
        """Whatever it is by now elsewhere."""


class Pulls:
    """Pulls under way on this host, at most `parallel` at once, none longer than `seconds`."""

    def __init__(self, engine: Engine, parallel: int, seconds: float, source: Source | None = None) -> None:
        self._engine = engine
        self._source: Source = source or Direct(engine)
        self._seconds = seconds
        self._slots = threading.Semaphore(parallel)
        self._lock = threading.Lock()
        self._running: dict[str, _Pull] = {}

    def find(self, spec: ContainerSpec) -> str | None:
        """The image asked for by its own id, which nobody can move, if the host has it. EngineDown."""
        if is_kept(spec.image):
            return None
        found = self._engine.image(parse(spec.image).full_name)
        if found is None:
            return None
        self._source.used(spec.image)
        return found.id

    def wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        """Have the image asked for. `tell` hears each new percentage; `check` raises once it is no longer wanted.

        PullTimedOut, TimedOut at the deadline (monotonic seconds), the engine's error, or what `check` raises.
        """
        image = spec.image
        if is_kept(image):
            raise ImageMissing(image)
        pull = self._join(image)
        try:
            self._follow(pull, deadline, lambda percent: tell(percent, f"pulling {image}"), check)
        finally:
            self._leave(image, pull)
        found = self.find(spec)
        if found is None:
            raise ImageMissing(image)
        return found

    def _follow(self, pull: _Pull, deadline: float, tell: Callable[[int], None], check: Callable[[], None]) -> None:
        told = 0
        while True:
            finished = pull.done.wait(TICK_SECONDS)
            check()
            if pull.percent > told:
                told = pull.percent
                tell(told)
            if finished:
                break
            now = time.monotonic()
            if pull.ends is not None and now > pull.ends:
                raise PullTimedOut
            if now > deadline:
                raise TimedOut
        if isinstance(pull.error, EngineDown) and pull.ends is not None and time.monotonic() >= pull.ends:
            raise PullTimedOut from pull.error  # it was silent as long as a pull may take
        if pull.error is not None:
            raise pull.error

    def _join(self, image: str) -> _Pull:
        with self._lock:
            pull = self._running.get(image)
            if pull is None:
                pull = self._running[image] = _Pull()
                threading.Thread(target=self._run, args=(image, pull), daemon=True, name=f"pull {image}").start()
            pull.waiters += 1
            return pull

    def _leave(self, image: str, pull: _Pull) -> None:
        """The last to leave gives the pull up; the next may begin though the engine is still silent on this one."""
        with self._lock:
            pull.waiters -= 1
            if pull.waiters == 0:
                pull.abandoned.set()
                if not pull.done.is_set():
                    self._source.give_up(image)
                self._release(pull)
                if self._running.get(image) is pull:
                    del self._running[image]

    def _run(self, image: str, pull: _Pull) -> None:
        self._slots.acquire()
        with self._lock:
            pull.holds_slot = True
            if pull.abandoned.is_set():
                self._release(pull)
                return
            pull.ends = time.monotonic() + self._seconds
        try:
            self._pull(image, pull)
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            pull.error = error
        finally:
            pull.done.set()
            with self._lock:
                self._release(pull)

    def _release(self, pull: _Pull) -> None:
        """Give its slot back, once; the lock is held."""
        if pull.holds_slot:
            pull.holds_slot = False
            self._slots.release()

    def _pull(self, image: str, pull: _Pull) -> None:
        """Until it is there, or nobody waits for it any more."""
        progress = PullProgress()
        lines = self._source.pull(image)
        for line in lines:
            pull.percent = progress.take(line)
            if pull.abandoned.is_set():
                log.info("pull given up", extra={"image": image})
                return
