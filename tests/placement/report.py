"""The report: finished runs come in, the table and the plot of `docs/placement.md` go out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

from tests.placement.measure import Measured
from tests.placement.simulation import OUTAGE, RACK_DIES, RAMP

BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"

_COLUMNS = (
    "rule",
    "hosts",
    "containers",
    "placed",
    "fleet at its fullest",
    "bounced to 85 %",
    "bounced in all",
    "p99 − mean: usual, worst",
    "fullest host",
    "over 100 %",
    "waited",
    "reads each",
    "with image",
)


@dataclass(frozen=True)
class Pages:
    """Where the report goes."""

    page: Path
    plot: Path


def write(pages: Pages, runs: Sequence[Measured], large: Measured, made: datetime) -> None:
    """Put table, figures and plot of these runs in place of the last."""
    text = pages.page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    figures = "\n".join(
        [BEGIN, f"Made by `make placement` on {made:%Y-%m-%d}.", "", _table(runs), "", _events(large), END]
    )
    pages.page.write_text(before + figures + after)
    _plot(pages.plot, large)


def _table(runs: Sequence[Measured]) -> str:
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_row(run) for run in runs)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(run: Measured) -> tuple[str, ...]:
    figures = run.figures
    return (
        run.rule,
        f"{run.hosts:,}",
        f"{figures.most_alive:,}",
        f"{figures.placed:,}",
        f"{figures.peak:.1%}",
        f"{figures.bounced(0.85):.4%}",
        f"{figures.bounced():.4%}",
        f"{figures.spread:.3f}, {figures.widest:.3f}",
        f"{figures.fullest:.1%}",
        str(figures.overfull),
        f"{figures.waited:,}",
        f"{run.reads_each:.2f}",
        f"{figures.warm / max(1, figures.placed):.1%}",
    )


def _events(run: Measured) -> str:
    rows = (
        ("rack of 2 % dead: its records ended after", f"{run.settled} s ({run.rack_records:,} records)", "120 s"),
        ("records of live hosts ended", str(run.wrongly), "0"),
        ("ended a second: on one host, in one group of hosts, in all", run.writes, "50 on one host"),
        ("rows the sweeper read, and acted on", f"{run.due_reads:,}, {run.swept:,}", "what is due, of all the records"),
        (
            "written by heartbeats, capacity units a second (as much again in the index)",
            f"{run.beat_units:,.0f}",
            "1,100",
        ),
        ("refused by agents; not answered", f"{run.figures.agent_refused:,}; {run.figures.unanswered:,}", ""),
        ("given up for want of room; not made in time", f"{run.figures.given_up}; {run.leasing.overdue}", "0; 0"),
        ("processor time, one core", f"{run.seconds:.0f} s", "a few minutes"),
    )
    head = f"| at {run.hosts:,} hosts | seen | bound |\n|---|---|---|\n"
    return head + "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _plot(path: Path, run: Measured) -> None:
    rcParams["svg.hashsalt"] = "placement"
    seconds, mean, low, high, fullest = zip(*run.figures.curve, strict=True)
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots()
    minutes = [second / 60 for second in seconds]
    axes.fill_between(minutes, low, high, alpha=0.3, label="1st to 99th percentile of hosts")
    axes.plot(minutes, mean, label="mean of the fleet")
    axes.plot(minutes, fullest, linewidth=0.8, label="fullest host")
    for moment, what in ((RAMP, "filled"), (OUTAGE[0], "30 s blind"), (RACK_DIES, "2 % die")):
        axes.axvline(moment / 60, color="grey", linewidth=0.6)
        axes.text(moment / 60 + 0.2, 0.04, what, fontsize=8)
    axes.set(xlabel="minutes", ylabel="reserved share", ylim=(0, 1.02), xlim=(0, minutes[-1]))
    axes.set_title(f"{run.hosts:,} hosts, {run.figures.most_alive:,} containers")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
