"""Seeds on two processors: chunks of them come in, their counts and failures go out in order."""

import logging
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from tests.faults.auditor import Tally
from tests.faults.simulation import run

PROCESSES = 2
CHUNK = 50

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def chunks(count: int) -> list[range]:
    """Seeds from 0 on."""
    return [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def pool() -> ProcessPoolExecutor:
    """Fresh processes: what the parent has running does not come along."""
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), _quiet)


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def each_of(work: Callable[[Task], Answer], tasks: Sequence[Task]) -> Iterable[Answer]:
    """The answers, in order."""
    with pool() as processes:
        yield from processes.map(work, tasks)


def simulate_chunk(seeds: range) -> tuple[Tally, list[str]]:
    """The counts, and a line for every seed that breaks an invariant."""
    total, failures = Tally(), []
    for seed in seeds:
        result = run(seed)
        total.add(result.tally)
        if result.violation is not None:
            failures.append(f"seed {seed}: {result.violation}   (make simulate SEED={seed} shows every step)")
    return total, failures
