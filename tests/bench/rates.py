"""Creates at once: so many come in together, containers per second go out, beside the raw engine's in each round."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tests.bench.lives import Client, Life, client
from tests.bench.measures import Goal, Measure
from tests.bench.raw import RawEngine
from tests.bench.stack import Stack
from tests.bench.starts import frames_of

AT_ONCE = (1, 4, 16)
GOALS = {4: Goal("ratio", 1.2, least=True)}


@dataclass(frozen=True, slots=True)
class Crowd:
    """Containers created together: how many a second, and the life of each."""

    rate: float
    lives: Sequence[Life]


def measure(stack: Stack, engine: RawEngine, rounds: int, tick: Callable[[], None]) -> list[Measure]:
    """For each number at once: creates per second until all can run commands; where there is a goal, the steps too."""
    chance = random.Random(rounds)
    ours: dict[int, list[Crowd]] = {count: [] for count in AT_ONCE}
    raw: dict[int, list[float]] = {count: [] for count in AT_ONCE}
    with client(stack) as user, ThreadPoolExecutor(max(AT_ONCE)) as pool:
        for _ in range(rounds):
            for count in AT_ONCE:
                kinds: list[Callable[[], None]] = [
                    lambda count=count: ours[count].append(_ours(user, pool, count)),  # type: ignore[misc]
                    lambda count=count: raw[count].append(_raw(engine, pool, count)),  # type: ignore[misc]
                ]
                for run in chance.sample(kinds, 2):
                    run()
                tick()
    note = "docker run -d, then docker exec, as many at once"
    found = [
        Measure(f"{count} at once", "/s", [each.rate for each in ours[count]], raw[count], GOALS.get(count), note)
        for count in AT_ONCE
    ]
    for count in GOALS:
        lives = [life for each in ours[count] for life in each.lives]
        found += [replace(step, name=f"{count} at once: {step.name}") for step in frames_of(lives)]
    return found


def _ours(user: Client, pool: ThreadPoolExecutor, count: int) -> Crowd:
    began = time.perf_counter()
    lives = list(pool.map(lambda _: user.begin(), range(count)))
    took = max(life.began + life.ready for life in lives) - began
    list(pool.map(user.end, lives))
    return Crowd(count / took, lives)


def _raw(engine: RawEngine, pool: ThreadPoolExecutor, count: int) -> float:
    began = time.perf_counter()
    made = list(pool.map(lambda _: engine.begin(), range(count)))
    took = time.perf_counter() - began
    list(pool.map(lambda each: engine.remove(each[0]), made))
    return count / took
