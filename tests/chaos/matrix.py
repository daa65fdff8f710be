"""`python -m tests.chaos.matrix`: the kill matrix; names of targets, actions and loads come in, a table goes out.

Every cell ends with the auditor at 0 differences, or it has failed. Exit code 1 when one has.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.ground.engine import Engine
from infra.local.berth import BerthSettings, running_berth
from infra.local.engines import engines_at
from tests.chaos.cells import LOADS, Cell, Outcome, Stage, all_cells, stage_of
from tests.chaos.endings import play_ending
from tests.chaos.faults import ACTIONS, TARGETS
from tests.engines import CACHE
from tests.flow.conftest import RATES

DATA = Path(".berth/chaos")
OPTIONS = ("--look-seconds", "2", "--heartbeat-seconds", "5", "--grace-seconds", "20")
SCHEDULE_SPEED = 10.0
SHORT = (
    Cell("api", "SIGKILL", "creates"),
    Cell("agent", "SIGSTOP", "deletes"),
    Cell("agent", "SIGKILL", "creates"),
    Cell("dockerd", "restart", "deletes"),
    Cell("dockerd", "SIGKILL", "creates"),
    Cell("moto", "SIGSTOP", "deletes"),
)
"""The most telling ones that take seconds; a killed `provision` or `status` takes the queue's minute."""


@contextlib.contextmanager
def open_stage(engine: Engine, data: Path) -> Iterator[Stage]:
    """A Berth on one host, on which cells are played one after another."""
    settings = BerthSettings(data, environment=RATES, agent_options=OPTIONS, schedule_speed=SCHEDULE_SPEED, keeps=True)
    with running_berth(settings, engine) as berth:
        yield stage_of(berth)


def play(cells: Sequence[Cell], engine: Engine, data: Path) -> Iterator[Outcome]:
    """Outcomes in the order of the cells; each target begins on a new Berth, so that tables stay small."""
    for target, of_target in groupby(cells, key=lambda cell: cell.target):
        ended, played = [], []
        for cell in of_target:
            (ended if target == "moto" and cell.action != "SIGSTOP" else played).append(cell)
        if played:
            with open_stage(engine, data / target) as stage:
                yield from map(stage.play, played)
        for cell in ended:
            yield play_ending(cell, data / "ending")


def main() -> int:
    parsed = _parser().parse_args()
    cells = [
        cell
        for cell in (SHORT if parsed.short else all_cells())
        if cell.target in parsed.targets and cell.action in parsed.actions and cell.load in parsed.loads
    ]
    console, began = Console(), time.monotonic()
    outcomes = _played(cells, console)
    console.print(_table(outcomes))
    minutes = (time.monotonic() - began) / 60
    failed = [outcome for outcome in outcomes if not outcome.ok]
    console.print(f"{len(outcomes)} cells in {minutes:.1f} minutes, {len(failed)} failed; written to {parsed.out}")
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [outcome.as_dict() for outcome in outcomes]
    parsed.out.write_text(json.dumps({"minutes": round(minutes, 1), "cells": rows}, indent=1) + "\n")
    return 1 if failed or len(outcomes) < len(cells) else 0


def _played(cells: Sequence[Cell], console: Console) -> list[Outcome]:
    def say(line: str) -> None:
        console.print(f"[dim]==>[/] {line}", highlight=False)

    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with engines_at(DATA, 1, CACHE, say, private=True) as [engine], Progress(*columns, console=console) as bar:
        task = bar.add_task("beginning", total=len(cells))
        for outcome in play(cells, engine, DATA):
            outcomes.append(outcome)
            verdict = "[green]ok[/]" if outcome.ok else "[red]failed[/]"
            bar.console.print(f"{verdict} {outcome.cell}: {outcome.seconds} s {outcome.said}", highlight=False)
            bar.update(task, advance=1, description=str(outcome.cell))
    return outcomes


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("target", "action", *LOADS, title="Seconds to 0 differences after the fault", title_justify="left")
    for (target, action), row in groupby(outcomes, key=lambda each: (each.cell.target, each.cell.action)):
        found = {outcome.cell.load: outcome for outcome in row}
        table.add_row(target, action, *(_shown(found.get(load)) for load in LOADS))
    return table


def _shown(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    errors = outcome.statuses.get("error", 0)
    text = f"{outcome.seconds:.1f}" + (f" ({errors} in error)" if errors else "")
    return text if outcome.ok else f"[red]FAILED[/] {outcome.said[:60]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description="The kill matrix on the real local stack.")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--actions", nargs="+", choices=ACTIONS, default=ACTIONS)
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=LOADS)
    parser.add_argument("--short", action="store_true", help="only the cells that `make test` plays")
    parser.add_argument("--out", type=Path, default=DATA / "matrix.json", help="where the result goes, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
