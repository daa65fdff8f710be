"""Plots: one part's measures come in, a picture with a panel for each goes out.

A panel shows what share of the samples took no longer than so much: ours, and what it is held against if anything.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.measures import Measure, Part

COLUMNS = 3
WIDTH, HEIGHT = 3.6, 2.3
OURS, OTHER = "#1f5fa8", "#b0b0b0"


def draw(part: Part, path: Path) -> None:
    """Write the picture of this part."""
    rcParams["svg.hashsalt"] = "berth"
    rows = -(-len(part.measures) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for number, measure in enumerate(part.measures):
        _panel(panels[number // COLUMNS][number % COLUMNS], measure)
    for number in range(len(part.measures), rows * COLUMNS):
        panels[number // COLUMNS][number % COLUMNS].set_axis_off()
    figure.savefig(path, metadata={"Date": None})


def _panel(panel: Axes, measure: Measure) -> None:
    if measure.raw:
        _steps(panel, measure.raw, OTHER)
    _steps(panel, measure.ours, OURS)
    panel.set_title(measure.name, fontsize=8)
    panel.set_xlabel(measure.unit, fontsize=7)
    panel.set_xlim(left=0)
    panel.set_ylim(0, 1.02)
    panel.tick_params(labelsize=7)


def _steps(panel: Axes, samples: Sequence[float], colour: str) -> None:
    ordered = sorted(samples)
    shares = [(number + 1) / len(ordered) for number in range(len(ordered))]
    panel.step([ordered[0], *ordered], [0.0, *shares], where="post", color=colour, linewidth=1.4)
