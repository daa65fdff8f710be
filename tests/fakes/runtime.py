"""Time and threads of the agent's core that stand still: a test says when time passes and when work is done."""

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.hostagent.runtime import Flag, ThreadRuntime


class SlowFlag:
    """A flag whose waiting moves the clock instead."""

    def __init__(self, runtime: "StillRuntime") -> None:
        self._runtime = runtime
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        self._runtime.now += timeout or 0.0
        return self._set


@dataclass
class StillRuntime(ThreadRuntime):
    """Work is done when the test says so."""

    now: float = 0.0
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def flag(self) -> Flag:
        return SlowFlag(self)

    def spawn(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()
