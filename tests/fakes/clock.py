"""A clock that moves when told to, and ids that can be known beforehand."""

import itertools
import random
import threading
import uuid
from datetime import datetime, timedelta

from tests.builders import NOW


class FakeClock:
    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class FakeIds:
    """Ids in order; choices by a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._numbers = itertools.count(0x1000)
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def uuid(self) -> str:
        with self._lock:
            return str(uuid.UUID(int=next(self._numbers), version=4))

    def secret(self) -> bytes:
        with self._lock:
            return next(self._numbers).to_bytes(32, "big")

    def choice(self, upto: int) -> int:
        with self._lock:
            return self._random.randrange(upto)
