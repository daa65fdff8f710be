"""How often is too often: a key comes in with each request, nothing or RateLimited goes out.

Each process counts by itself and tells the key's own row only every `stride` requests, so that no request waits for
a count of all and no row is hot. In one window, at most `limit + processes * (stride - 1)` get through.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.domain.errors import Busy, RateLimited
from chalicelib.services.unmeasured import UNMEASURED

if TYPE_CHECKING:
    from chalicelib.domain.identity import Caller
    from chalicelib.ports import Clock, Metrics, RateStore

log = logging.getLogger("berth.rates")

KEYS = 10_000
"""Keys that a process counts at a time; with more, it begins anew."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many in so many seconds, told of every `stride`; `kind` names what is counted."""

    kind: str
    most: int
    seconds: int
    stride: int


@dataclass(slots=True)
class _Count:
    """One key in one window, as far as this process knows."""

    ends: datetime
    elsewhere: int = 0
    """Of all processes, when they were last told of ours."""
    here: int = 0
    """Since then."""
    tell_at: int = 1

    @property
    def total(self) -> int:
        return self.elsewhere + self.here


class Limiter:
    """Counts requests by key against one limit."""

    def __init__(self, limit: Limit, store: RateStore, clock: Clock, metrics: Metrics = UNMEASURED) -> None:
        self._limit = limit
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._counts: dict[str, _Count] = {}

    def count(self, key: str) -> None:
        """Count one request of this key, or RateLimited until the window's end."""
        now = self._clock.now()
        count = self._count_of(key, now)
        if count.total <= self._limit.most:
            count.here += 1
            if count.here >= count.tell_at or count.total > self._limit.most:
                self._tell(key, count)
        if count.total > self._limit.most:
            self._metrics.count("RateLimited", kind=self._limit.kind)
            raise RateLimited(max(1, math.ceil((count.ends - now).total_seconds())))

    def _count_of(self, key: str, now: datetime) -> _Count:
        known = self._counts.get(key)
        if known is not None and now < known.ends:
            return known
        if len(self._counts) >= KEYS:
            self._counts.clear()
        self._counts[key] = _Count(window_end(now, self._limit.seconds), tell_at=self._limit.stride)
        return self._counts[key]

    def _tell(self, key: str, count: _Count) -> None:
        """Let the other processes know, and learn of theirs; when that fails, go on alone and try again later."""
        try:
            count.elsewhere = self._store.add(f"{self._limit.kind}#{key}", count.ends, count.here)
        except Busy:
            log.warning("rate not shared", extra={"kind": self._limit.kind})
            self._metrics.count("RateNotShared", kind=self._limit.kind)
            count.tell_at = count.here + self._limit.stride
            return
        count.here = 0
        count.tell_at = self._limit.stride


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits on requests: by token for who has one, by address for everybody else."""

    tokens: Limiter
    addresses: Limiter

    def request(self, caller: Caller) -> None:
        """Count a request with a good token, or RateLimited."""
        self.tokens.count(caller.token_hash)

    def unauthenticated(self, address: str) -> None:
        """Count a request without a good token, or RateLimited. Good tokens from that address are not held up."""
        self.addresses.count(hashlib.sha256(address.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Pulls:
    """How many images a user may have pulled that the chosen host does not have: registries count, too."""

    store: RateStore
    clock: Clock
    per_hour: int
    metrics: Metrics = UNMEASURED

    def wait_for(self, user_id: str, container_id: str) -> int:
        """0 when this container's image may be pulled now, else the seconds until it may; a retry is not counted."""
        now = self.clock.now()
        ends = window_end(now, 3600)
        try:
            if self.store.admit(f"pulls#{user_id}", ends, container_id, self.per_hour):
                return 0
        except Busy:
            log.warning("rate not shared", extra={"kind": "pulls", "container": container_id})
            self.metrics.count("RateNotShared", kind="pulls")
            return 0
        self.metrics.count("RateLimited", kind="pulls")
        return max(1, math.ceil((ends - now).total_seconds()))


def window_end(now: datetime, seconds: int) -> datetime:
    """When the window of this length that `now` is in ends; the same in every process."""
    return datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, UTC)
