"""`make faults` in its quick form: every measure is taken, its goal is met, and the page says so."""

import json
from pathlib import Path

import pytest

from tests.figures.__main__ import PARTS, main
from tests.figures.measures import MOTO, REAL, SIMULATED, Measure
from tests.figures.page import write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


@pytest.mark.timeout(600)
def test_every_figure_can_be_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())

    code = main(["--quick", "--data", str(tmp_path), "--page", str(page)])

    results = [json.loads((tmp_path / f"{part}.json").read_text()) for part in PARTS]
    rows = [row for result in results for row in result["measures"]]
    assert [row for row in rows if not row["met"]] == []
    assert code == 0
    assert {row["where"] for row in rows} == {SIMULATED, MOTO, REAL}
    for row in rows:
        assert f"| {row['name']} | {row['n']:,} {row['unit']} | {row['found']:,} |" in page.read_text()


@pytest.mark.parametrize(("n", "found", "met"), [(1000, 0, True), (1000, 1, False), (999, 0, False)])
def test_a_goal_is_met_by_nothing_found_in_enough(n: int, found: int, met: bool) -> None:
    assert Measure("m", n, "kills", found, "how", REAL, least_n=1000).met is met


def test_a_page_shows_what_was_missed_and_keeps_what_was_not_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- figures begin -->\nold\n<!-- figures end -->\nb\n<!-- matrix begin -->\nkept\n<!-- matrix end -->\nc\n"
    )
    row = Measure("orphans", 7, "kills", 2, "how", REAL).as_dict()

    write(page, [{"part": "rounds", "command": "make faults", "at": "now", "measures": [row]}], None)

    text = page.read_text()
    assert "| orphans | 7 kills | 2 **missed** |" in text
    assert "old" not in text
    assert "kept" in text
