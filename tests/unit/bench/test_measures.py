"""What the benchmarks make of their samples: ratios by round, goals, and rows that are kept as they were."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.measures import Goal, Measure, Part
from tests.bench.page import goal_of, write
from tests.bench.relay import first_for
from tests.bench.series import median, p95, paired


def test_a_ratio_is_taken_round_by_round() -> None:
    found = paired([1.0, 20.0, 3.0], [2.0, 40.0, 6.0])

    assert (found.low, found.middle, found.high) == (0.5, 0.5, 0.5)


def test_an_interval_holds_its_middle_and_is_the_same_every_time() -> None:
    ours, theirs = [float(n % 7 + 1) for n in range(30)], [float(n % 5 + 1) for n in range(30)]
    found = paired(ours, theirs)

    assert found.low <= found.middle <= found.high
    assert found.low < found.high
    assert paired(ours, theirs) == found


def test_nineteen_of_twenty_are_no_more_than_the_95th_percentile() -> None:
    samples = [float(n) for n in range(100)]

    assert p95(samples) == 95
    assert median(samples) == 49.5
    assert p95([3.0]) == 3.0


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Measure("a", "s", [1.0], [2.0], Goal("ratio", 0.75)), "≤ 0.75 × met"),
        (Measure("a", "s", [3.0], [2.0], Goal("ratio", 0.75)), "≤ 0.75 × **missed** by 100%"),
        (Measure("a", "/s", [1.5], [1.0], Goal("ratio", 1.2, least=True)), "≥ 1.20 × met"),
        (Measure("a", "/s", [0.6], [1.0], Goal("ratio", 1.2, least=True)), "≥ 1.20 × **missed** by 50%"),
        (Measure("a", "s", [0.04], goal=Goal("p95", 0.05)), "≤ 50 ms (p95) met"),
        (Measure("a", "s", [0.09], goal=Goal("median", 0.06)), "≤ 60 ms (median) **missed** by 50%"),
        (Measure("a", "s", [0.09]), ""),
    ],
)
def test_a_goal_says_whether_it_was_met_and_by_how_much_not(measure: Measure, words: str) -> None:
    assert goal_of(measure) == words


def test_a_part_that_is_run_again_leaves_the_others_on_the_page_as_they_were(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    parts = [Part(name, "2026-11-25", "2 cores", 0.5, [Measure("a", "s", [1.0])]) for name in ("memory", "starts")]
    write(page, parts)
    before = page.read_text()

    write(page, [replace(parts[0], machine="4 cores")])

    assert page.read_text() == before.replace("2 cores", "4 cores").replace("4 cores", "2 cores", 1)
    assert before.index("## Starts and ends") < before.index("## Memory")


def test_the_first_call_for_a_container_is_about_its_image_or_its_name() -> None:
    calls = [
        (1.0, "GET", "/v1.41/images/debian:bookworm/json"),
        (5.0, "GET", "/v1.41/containers/json?all=1"),
        (5.5, "GET", "/v1.41/images/json"),
        (6.0, "GET", "/v1.41/images/debian:bookworm/json"),
        (7.0, "POST", "/v1.41/containers/create?name=berth-abc-1"),
    ]

    assert first_for(calls, "abc", since=4.0) == 6.0
    assert first_for(calls, "abc", since=6.5) == 7.0
    assert first_for(calls, "other", since=6.5) is None
