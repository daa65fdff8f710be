"""What creations ask for: kinds come in as they are asked for, how many of each to keep ready goes out."""

from collections import Counter, deque

from infra.hostagent.runtime import Runtime
from infra.hostagent.warm.blanks import Kind

WISH_SECONDS = 3600.0
"""How long a wish is remembered."""
EACH = 4
"""At most so many of one kind are kept."""
REMEMBERED = 64
"""Wishes of one kind; who is asked for more often than that within the time is as popular as can be."""


class Wishes:
    """Calls come from many threads. `popular` is how many wishes of a kind have it kept ready."""

    def __init__(self, runtime: Runtime, popular: int) -> None:
        self._runtime = runtime
        self._popular = popular
        self._lock = runtime.lock()
        self._asked: dict[Kind, deque[float]] = {}
        self._last: float | None = None

    def note(self, kind: Kind) -> None:
        """It is asked for now."""
        now = self._runtime.monotonic()
        with self._lock:
            self._last = now
            self._asked.setdefault(kind, deque(maxlen=REMEMBERED)).append(now)

    def forget(self, kind: Kind) -> None:
        """It cannot be had: until it is popular again, it is not tried again."""
        with self._lock:
            self._asked.pop(kind, None)

    def quiet_for(self) -> float:
        """Seconds since anybody has asked for anything."""
        with self._lock:
            return float("inf") if self._last is None else self._runtime.monotonic() - self._last

    def wanted(self, room: int) -> Counter[Kind]:
        """How many of each kind there should be: one of each, the most asked for first, then a second, and so on."""
        often = sorted(self._counts().items(), key=lambda item: -item[1])
        popular = [(kind, min(EACH, count)) for kind, count in often if count >= self._popular]
        turns = [kind for turn in range(EACH) for kind, most in popular if turn < most]
        return Counter(turns[:room])

    def _counts(self) -> dict[Kind, int]:
        """Of all kinds that were asked for lately."""
        since = self._runtime.monotonic() - WISH_SECONDS
        with self._lock:
            for kind, times in list(self._asked.items()):
                while times and times[0] <= since:
                    times.popleft()
                if not times:
                    del self._asked[kind]
            return {kind: len(times) for kind, times in self._asked.items()}
