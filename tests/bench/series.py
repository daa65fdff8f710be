"""Samples: seconds of the same rounds come in, medians, 95th percentiles and paired ratios go out.

A ratio is taken round by round, in which both were measured side by side, so a busy moment hits both alike. Its
interval is what the medians of resampled rounds come to, in 95 of 100.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2000


def median(samples: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    """Nineteen of twenty are no more."""
    return sorted(samples)[min(len(samples) - 1, round(0.95 * len(samples)))]


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of ratios, and where it lies in 95 of 100."""

    middle: float
    low: float
    high: float


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Ours to theirs, round by round."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = medians[RESAMPLES // 40], medians[-RESAMPLES // 40]
    return Ratio(statistics.median(ratios), low, high)
