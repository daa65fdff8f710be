"""`make faults`: parts and minutes come in; every published figure is measured, shown, and written to its page.

python -m tests.figures [--quick] [--minutes 8] [--parts simulated moto gateway rounds] [--page docs/reliability.md]
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.local.engines import engines_at
from tests.engines import CACHE
from tests.figures import admission, gateway, lost, rounds, simulated
from tests.figures.measures import Measure, Size, full, quick, timed
from tests.figures.page import write

DATA = Path(".berth/figures")
MATRIX = Path(".berth/chaos/matrix.json")
Step = tuple[str, Callable[[Size], list[Measure]]]

SIMULATED: tuple[Step, ...] = (
    ("every process killed at every call (simulated)", simulated.crash_points),
    ("processes killed at random (simulated)", simulated.kills),
    ("subscribers that drop and catch up (simulated)", simulated.follow),
    ("any weather (simulated)", simulated.weather),
)
MOTO: tuple[Step, ...] = (
    ("creates whose answers are lost (moto's server)", lambda size: lost.measured(size, DATA)),
    ("creates racing at the edge of a quota (moto's server)", lambda size: admission.measured(size, DATA)),
)
REAL = {"gateway": gateway.measured, "rounds": rounds.measured}
PARTS = ("simulated", "moto", *REAL)


def main(arguments: Sequence[str]) -> int:
    """1 when a goal is missed."""
    parsed = _parser().parse_args(arguments)
    size = quick() if parsed.quick else full(parsed.minutes)
    console = Console(soft_wrap=True)
    for part in parsed.parts:
        _keep(parsed.data, part, _part(part, size, console), parsed.quick)
    results = [json.loads(path.read_text()) for part in PARTS if (path := parsed.data / f"{part}.json").exists()]
    console.print(_table([row for result in results for row in result["measures"]]))
    if parsed.page is not None:
        write(parsed.page, results, json.loads(MATRIX.read_text()) if MATRIX.exists() else None)
    missed = [row["name"] for result in results for row in result["measures"] if not row["met"]]
    console.print(f"[red]goals missed: {', '.join(missed)}[/]" if missed else "[green]every goal is met[/]")
    return 1 if missed else 0


def _part(part: str, size: Size, console: Console) -> list[Measure]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        if part in REAL:
            return _real(part, size, bar)
        return [each for step in (SIMULATED if part == "simulated" else MOTO) for each in _step(step, size, bar)]


def _real(part: str, size: Size, bar: Progress) -> list[Measure]:
    """On the local cloud with engines of its own."""

    def say(line: str) -> None:
        bar.console.print(f"[dim]==>[/] {line}", highlight=False)

    hosts = 2 if part == "rounds" and not size.quick else 1
    with engines_at(DATA, hosts, CACHE, say, private=os.geteuid() == 0) as engines:
        return _step((part, lambda size: REAL[part](size, engines, DATA, say)), size, bar)


def _step(step: Step, size: Size, bar: Progress) -> list[Measure]:
    name, work = step
    task = bar.add_task(name, total=None)
    done = timed(lambda: work(size))
    bar.remove_task(task)
    for each in done:
        verdict = "[green]met[/]" if each.met else "[red]missed[/]"
        bar.console.print(f"{verdict} {each.name}: {each.found:,} in {each.n:,} {each.unit} {each.note}")
    return done


def _keep(data: Path, part: str, measures: list[Measure], is_quick: bool) -> None:
    data.mkdir(parents=True, exist_ok=True)
    command = f'make faults ARGS="--parts {part}"' if not is_quick else "make faults ARGS=--quick"
    result = {
        "part": part,
        "command": command,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "clock": time.time(),
        "measures": [each.as_dict() for each in measures],
    }
    (data / f"{part}.json").write_text(json.dumps(result, indent=1) + "\n")


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table("measure", "where", "n", "found", "goal", "seconds", title="Published figures", title_justify="left")
    for row in rows:
        goal = f"≤ {row['most']} in ≥ {row['least_n']:,}"
        cells = (str(row["name"]), str(row["where"]), f"{row['n']:,} {row['unit']}", f"{row['found']:,}", goal)
        table.add_row(*cells, str(row["seconds"]), style=None if row["met"] else "red")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description="Measure every published figure.")
    parser.add_argument("--quick", action="store_true", help="that every measure can be taken; no page is written")
    parser.add_argument("--minutes", type=float, default=8.0, help="no round of real kills begins after so many")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="measure these anew")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the results, as JSON")
    parser.add_argument("--page", type=Path, default=None, help="write the figures into this page")
    return parser


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main(sys.argv[1:]))
