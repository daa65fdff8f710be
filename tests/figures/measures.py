"""What is measured: counts come in, a row with its goal and whether it was met goes out."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

SIMULATED, MOTO, REAL = "simulated", "moto", "real"
"""Shipped code over simulated doors; shipped code over moto's server; real processes, HTTP and engines."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: `found` of `n` is what should not have happened."""

    name: str
    n: int
    unit: str
    """What `n` counts."""
    found: int
    how: str
    where: str
    most: int = 0
    """The goal: at most so many found."""
    least_n: int = 1
    """The goal: in so many at least."""
    note: str = ""
    seconds: float = 0.0

    @property
    def met(self) -> bool:
        return self.found <= self.most and self.n >= self.least_n

    @property
    def goal(self) -> str:
        return f"{self.most:,} in ≥ {self.least_n:,}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"met": self.met}


def timed(work: Callable[[], list[Measure]]) -> list[Measure]:
    """The measures with how long they took together; each says so."""
    began = time.monotonic()
    done = work()
    seconds = round(time.monotonic() - began, 1)
    return [replace(each, seconds=seconds) for each in done]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    quick: bool
    lost_answers: int
    cut_answers: int
    crash_stride: int
    """Every so many-th call of each flow is killed."""
    killed_seeds: int
    weather_seeds: int
    follower_frames: int
    races: int
    http_races: int
    others: int
    """Users beside the abuser, and below how much each asks for."""
    each: int
    round_size: int
    """Creates, and as many deletes, in a round with real kills."""
    minutes: float
    """No further round begins after this long."""
    wait_seconds: float
    """From the last kill of a round until orphans are counted."""


def full(minutes: float) -> Size:
    """What docs/reliability.md reports."""
    return Size(
        quick=False, lost_answers=1000, cut_answers=200, crash_stride=1, killed_seeds=200, weather_seeds=200,
        follower_frames=100_000, races=125, http_races=30, others=42, each=50, round_size=60,
        minutes=minutes, wait_seconds=60.0,
    )  # fmt: skip


def quick() -> Size:
    """That every measure can be taken."""
    return Size(
        quick=True, lost_answers=16, cut_answers=6, crash_stride=40, killed_seeds=2, weather_seeds=2,
        follower_frames=300, races=3, http_races=1, others=3, each=5, round_size=4,
        minutes=0.0, wait_seconds=5.0,
    )  # fmt: skip
