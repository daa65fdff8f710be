"""One run at a time: a folder comes in, it is held until given back or the process ends; NoEngine says who holds it."""

import fcntl
import os
import sys
from pathlib import Path

from infra.ground.errors import NoEngine

LONGEST_COMMAND, LONGEST_WORDS = 200, 1000


class Hold:
    """A lock on a folder; the kernel gives it back when the process dies, and programs it starts do not inherit it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None
        """A number and no file object, which would be closed with the last who knows it."""

    def take(self) -> None:
        """Have it from now on, or NoEngine; nothing when it is held already."""
        if self._lock is not None:
            return
        lock = self._opened()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, LONGEST_WORDS, 0).decode(errors="replace")
            os.close(lock)
            raise NoEngine(_refusal(self._folder, holder)) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, _ourselves(), 0)
        self._lock = lock

    def give_back(self) -> None:
        """Let others have it; nothing when it is not held."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> int:
        try:
            return os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError:
            raise NoEngine(f"the engine in {self._folder} is another user's: run this as that user") from None


def _ourselves() -> bytes:
    """For whoever is refused, who may not be able to look up our number: it is another in another namespace."""
    command = " ".join(" ".join(sys.orig_argv).split())
    return f"process {os.getpid()} ({command[:LONGEST_COMMAND]})".encode()


def _refusal(folder: Path, holder: str) -> str:
    holder = holder or "another process"
    return f"{holder} uses the engine in {folder}: wait until it ends, stop it, or use a clone of your own"
