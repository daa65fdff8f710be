"""Seeds: any weather, any order, and all holds again afterwards. One that fails is named and replays exactly."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.faults.auditor import Tally
from tests.faults.parallel import chunks, pool, simulate_chunk
from tests.faults.simulation import run, simulate

SEEDS = int(os.environ.get("SEEDS") or 2000)

Results = dict[range, "Future[tuple[Tally, list[str]]]"]


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    with pool() as processes:
        yield {seeds: processes.submit(simulate_chunk, seeds) for seeds in chunks(SEEDS)}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", chunks(SEEDS), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_in_any_weather_every_invariant_holds_again(results: Results, seeds: range) -> None:
    tally, failures = results[seeds].result()

    assert failures == []
    assert tally.seeds == len(seeds)
    assert tally.doubled == tally.orphans == tally.order_errors == 0


@pytest.mark.timeout(900)
def test_the_weather_was_bad(results: Results) -> None:
    """So that a simulation in which nothing happens any more is noticed."""
    total = Tally()
    for future in results.values():
        total.add(future.result()[0])

    assert len(total.faults) >= 15
    assert min(total.faults.values()) >= total.seeds / 20
    assert total.creates > 2 * total.seeds
    assert total.retries > total.seeds / 2
    assert total.duplicates > total.seeds
    assert total.gaps > total.seeds / 20


def test_a_seed_replays_exactly_in_another_process() -> None:
    script = (
        "import hashlib, logging; logging.disable(50); from tests.faults.simulation import run;"
        "print(hashlib.sha256('\\n'.join(run(11, traced=True).trace).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    other = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    here = hashlib.sha256("\n".join(run(11, traced=True).trace).encode()).hexdigest()

    assert other.stdout.strip() == here


def test_the_sum_of_seeds_is_what_they_say_together() -> None:
    tally = simulate([1, 2])

    assert tally.seeds == 2
    assert tally.frames > 0


def test_a_seed_is_shown_step_by_step() -> None:
    environment = {**os.environ, "SEED": "3", "COLUMNS": "200"}
    shown = subprocess.run(
        [sys.executable, "-m", "tests.faults", "simulate"], env=environment, capture_output=True, text=True, check=True
    )

    assert "containers.create" in shown.stdout
    assert "all holds" in shown.stdout.splitlines()[-1]
