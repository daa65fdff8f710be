"""Time and threads for the agent's core: the process's own by default; a simulation brings others that it controls."""

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any, Protocol

THREADS = 64


class Flag(Protocol):
    """Set once by one thread, waited for by others; as `threading.Event`."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        """True once it is set, False after so many seconds."""


class Runtime(Protocol):
    """What the core may ask of its process. Nothing in the core uses `time` or `threading` directly."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that nobody sets back."""

    def token(self) -> str:
        """Twelve letters and digits that nobody has used or can guess."""

    def lock(self) -> AbstractContextManager[Any]:
        """A new lock."""

    def semaphore(self, count: int) -> AbstractContextManager[Any]:
        """A new semaphore; `with` takes one place."""

    def flag(self) -> Flag:
        """A new flag, not set."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Have the work done soon, by another thread."""

    def close(self, seconds: float) -> None:
        """Begin no more work, and wait at most this long for what is under way."""


class ThreadRuntime:
    """`Runtime` on the process's clock and a pool of its threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="settle")
        self._work: set[Future[None]] = set()
        self._lock = threading.Lock()

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def token(self) -> str:
        return secrets.token_hex(6)

    def lock(self) -> AbstractContextManager[Any]:
        return threading.Lock()

    def semaphore(self, count: int) -> AbstractContextManager[Any]:
        return threading.Semaphore(count)

    def flag(self) -> Flag:
        return threading.Event()

    def spawn(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._work = {each for each in self._work if not each.done()}
            self._work.add(self._pool.submit(work))

    def close(self, seconds: float) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            under_way = [each for each in self._work if not each.cancelled()]
        wait(under_way, timeout=seconds)
