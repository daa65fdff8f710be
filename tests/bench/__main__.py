"""`make bench`: measures part by part, shows tables, and writes `docs/benchmarks.md`; no test depends on a figure of it.

One part may be run again by itself: the page keeps the others. All samples are in `.berth/bench`.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.ground.engine import Engine, engine_at
from infra.ground.images import BaseImages
from tests.aws import ROOT
from tests.bench import coldstart, fanout, memory, page, rates, starts, terminals, warm
from tests.bench.lives import client
from tests.bench.measures import Measure, Part
from tests.bench.raw import RawEngine
from tests.bench.series import median, p95, paired
from tests.bench.stack import stack
from tests.engines import CACHE, say

PAGE = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / ".berth" / "bench"

Tick = Callable[[], None]
Found = tuple[list[Measure], dict[str, Any]]


def cold_starts(_engine: Engine, rounds: int, tick: Tick) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        sizes = coldstart.packaged(Path(folder))
        found = coldstart.measure(Path(folder), rounds, tick)
    return found, {
        "code": f"{sizes.task:.2f} MiB",
        "layer": f"{sizes.layer:.2f} MiB",
        "unpacked": f"{sizes.unpacked:.1f} MiB, bytecode included",
    }


def cold(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack") as running:
        played = starts.play(running, RawEngine(engine.url), rounds, tick)
    run = median([life.run for life in played.raw])
    return starts.measures_of(played, "cold", 0.75), {"docker run -d alone": f"{run * 1000:.0f} ms"}


def warm_starts(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack", *warm.OPTIONS) as running:
        played = starts.play(running, RawEngine(engine.url), rounds, tick, warm.Blanks(engine))
    return [*starts.measures_of(played, "warm", 0.20), *starts.steps_of(played.ours)], {}


def stages(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack", noted=True) as running, client(running) as user:
        lives = []
        for number in range(rounds + 1):
            lives.append(user.live())
            if number:
                tick()
        return starts.stages_of(lives[1:], running.ask("calls")), {}


def many(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack") as running:
        return rates.measure(running, RawEngine(engine.url), rounds, tick), {}


def crowd(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack") as running:
        return fanout.measure(running, rounds, tick), {}


def typed(engine: Engine, rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack") as running:
        return terminals.measure(running, RawEngine(engine.url), rounds, tick), {}


def sizes(engine: Engine, _rounds: int, tick: Tick) -> Found:
    with stack(engine, KEPT / "stack") as running:
        found = memory.measure(running)
    tick()
    return found, {}


PARTS: dict[str, tuple[Callable[[Engine, int, Tick], Found], int]] = {
    "starts": (cold, 1),
    "warm": (warm_starts, 1),
    "stages": (stages, 1),
    "rates": (many, len(rates.AT_ONCE)),
    "fanout": (crowd, len(fanout.SUBSCRIBERS)),
    "terminals": (typed, 1),
    "memory": (sizes, 0),
    "coldstart": (cold_starts, len(coldstart.SERVICES) + 1),
}
"""What is run for each part, and steps in a round of it."""


def main() -> int:
    """0 when every goal of what was run is met, 1 when one was missed; the page says by how much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Berth's benchmarks.")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds (default 25)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)} (default: all)")
    parsed = parser.parse_args()
    console = Console()
    run = [_run(console, name, parsed.rounds) for name in parsed.parts.split(",")]
    page.write(PAGE, run)
    return 1 if any(measure.missed for part in run for measure in part.measures) else 0


def _run(console: Console, name: str, rounds: int) -> Part:
    measure, steps = PARTS[name]
    with engine_at(KEPT / "engine", say, private=os.geteuid() == 0) as engine:
        with closing(engine.client()) as api:
            BaseImages(api, CACHE, say).ensure_bookworm()
        with _bar(console, name, steps * rounds or 1) as tick:
            found, facts = measure(engine, rounds, tick)
    part = Part(name, f"{datetime.now(UTC):%Y-%m-%d}", _machine(engine), os.getloadavg()[1], found, facts)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(part.kept(), indent=1))
    _show(console, part)
    return part


def _machine(engine: Engine) -> str:
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores, {platform.system()} {kernel}, Docker {engine.version}, Python {platform.python_version()}"


@contextmanager
def _bar(console: Console, name: str, total: int) -> Iterator[Tick]:
    bar = Progress(TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)
    with bar:
        task = bar.add_task(name, total=total)
        yield lambda: bar.advance(task)


def _show(console: Console, part: Part) -> None:
    table = Table(title=page.HEADINGS[part.name][0], title_justify="left")
    for column in ("", "median", "p95", "beside it", "ratio", "goal"):
        table.add_column(column, justify="left" if not column else "right")
    for each in part.measures:
        beside = page.amount(median(each.raw), each.unit) if each.raw else ""
        ratio = f"{paired(each.ours, each.raw).middle:.2f} ×" if each.raw else ""
        figures = (page.amount(median(each.ours), each.unit), page.amount(p95(each.ours), each.unit))
        table.add_row(each.name, *figures, beside, ratio, page.goal_of(each))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
