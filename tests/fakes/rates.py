"""Counts in memory, held to the same contract test as DynamoDB's; `down` makes the store refuse."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.errors import Busy


@dataclass
class MemoryRates:
    counted: Counter[tuple[str, datetime]] = field(default_factory=Counter)
    members: dict[tuple[str, datetime], set[str]] = field(default_factory=dict)
    writes: int = 0
    down: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, key: str, ends: datetime, amount: int) -> int:
        with self._written():
            self.counted[key, ends] += amount
            return self.counted[key, ends]

    def admit(self, key: str, ends: datetime, member: str, limit: int) -> bool:
        with self._written():
            members = self.members.setdefault((key, ends), set())
            if member not in members and len(members) >= limit:
                return False
            members.add(member)
            return True

    def _written(self) -> threading.RLock:
        if self.down:
            raise Busy("the store did not count")
        self.writes += 1
        return self.lock
