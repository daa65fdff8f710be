"""Work on several things side by side: the work and the things come in, what came of each goes out, in their order."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")


def abreast(width: int, work: Callable[[Thing], Outcome], things: Sequence[Thing]) -> list[Outcome]:
    """So many at a time, each with the ids that are bound here; by this thread when the width is 1. What one raises."""
    if width == 1 or len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(width, len(things))) as pool:
        return [each.result() for each in [pool.submit(copy_context().run, work, thing) for thing in things]]
