"""The load: a seed and a fleet's size come in, how many containers of what size and life arrive each second go out."""

import math
from dataclasses import dataclass
from random import Random

from chalicelib.contract.resources import Resources
from chalicelib.domain.placement import Wish
from tests.placement.fleet import IMAGES
from tests.placement.rows import Record

MEDIAN_LIFE = 600.0
LONGEST_LIFE = 86_400.0
SIGMA = math.log(LONGEST_LIFE / MEDIAN_LIFE) / 3.09
"""So that one life in a thousand is longer than a day."""

MEAN_LIFE = MEDIAN_LIFE * math.exp(SIGMA**2 / 2)
RAMP = 600
"""Seconds in which the fleet is filled."""

BURST_EVERY, BURST_SECONDS, BURST_FACTOR = 300, 3, 10
WAVE_SECONDS, WAVE = 1800, 0.3
"""A day's wave, in half an hour."""

_SIZES = ((128, 15), (256, 36), (512, 29), (1024, 12), (2048, 4.4), (4096, 0.6))
"""Memory in MiB and how many of a hundred; the mean is 0.5 GiB."""


@dataclass(frozen=True)
class Load:
    """Arrivals that keep about `containers` alive."""

    containers: int
    random: Random

    def arrivals(self, second: int) -> int:
        """How many arrive in this second."""
        if second < RAMP:
            return _poisson(self.containers / RAMP, self.random)
        steady = self.containers / MEAN_LIFE / (1 + (BURST_FACTOR - 1) * BURST_SECONDS / BURST_EVERY)
        wave = 1 - WAVE * math.sin(2 * math.pi * (second - RAMP) / WAVE_SECONDS)
        burst = BURST_FACTOR if (second - RAMP) % BURST_EVERY < BURST_SECONDS else 1
        return _poisson(steady * wave * burst, self.random)

    def life(self, second: int) -> int:
        """Seconds; those of the first filling are as one would find a fleet in the midst of its work."""
        if second < RAMP:
            found = self.random.lognormvariate(math.log(MEDIAN_LIFE) + SIGMA**2, SIGMA)
            return RAMP - second + int(self.random.random() * min(found, LONGEST_LIFE)) + 1
        return int(min(self.random.lognormvariate(math.log(MEDIAN_LIFE), SIGMA), LONGEST_LIFE)) + 1


class Wishes:
    """Wishes made once each: a million equal values would only cost memory."""

    def __init__(self, random: Random) -> None:
        self._random = random
        sizes = [Resources(memory_mb=size, cpu_shares=size, disk_mb=1024) for size, _ in _SIZES]
        self._wishes = [[Wish(size, image) for image in IMAGES] for size in sizes]
        self._sizes = [number for number, (_, share) in enumerate(_SIZES) for _ in range(int(share * 5))]

    def next(self) -> Wish:
        """A wish; the first images are asked for far more often than the last."""
        draw = self._random.random
        image = int(len(IMAGES) * draw() ** 2)
        return self._wishes[self._sizes[int(draw() * len(self._sizes))]][image]


def record_of(number: int, wish: Wish, ends: int) -> Record:
    """The record of a container that was asked for."""
    return Record(number, wish.resources, wish.image, ends)


def _poisson(mean: float, random: Random) -> int:
    if mean > 30:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    count, product, limit = 0, random.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= random.random()
    return count
