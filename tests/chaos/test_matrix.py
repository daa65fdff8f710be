"""The kill matrix in short: each of its most telling cells ends with the auditor at 0 differences."""

from pathlib import Path

import pytest

from tests.chaos.cells import Cell, Stage
from tests.chaos.endings import play_ending
from tests.chaos.matrix import SHORT


@pytest.mark.parametrize("cell", SHORT, ids=str)
def test_all_is_well_again_after(cell: Cell, stage: Stage) -> None:
    outcome = stage.play(cell)

    assert outcome.ok, outcome.said


def test_the_end_of_moto_is_the_end_of_its_cloud_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = play_ending(Cell("moto", "SIGKILL", "creates"), tmp_path)

    assert outcome.ok, outcome.said
