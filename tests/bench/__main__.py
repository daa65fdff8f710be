"""`make bench`: measures, shows a table, and writes `docs/benchmarks.md`; no test depends on a figure of it."""

import argparse
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.aws import ROOT, moto_server
from tests.bench.coldstart import SERVICES, Row, Sizes, measure, packaged

PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """0 when every goal was met, 1 when one was missed; the page says by how much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Berth's benchmarks.")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds (default 25)")
    parsed = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, moto_server(Path(folder) / "moto.log") as server:
        with console.status("packaging the application"):
            sizes = packaged(Path(folder))
        bar = Progress(
            TextColumn("cold starts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        with bar:
            task = bar.add_task("cold starts", total=parsed.rounds * (len(SERVICES) + 1))
            rows = measure(Path(folder), server.with_stack(), parsed.rounds, lambda: bar.advance(task))
    _show(console, rows, sizes)
    PAGE.write_text(_page(rows, sizes, parsed.rounds))
    return 1 if any(row.missed for row in rows) else 0


def _show(console: Console, rows: list[Row], sizes: Sizes) -> None:
    table = Table(title="Cold starts, out of the packaged archives", title_justify="left")
    for column in ("function", "median", "p95", "of the floor", "goal", ""):
        table.add_column(column, justify="left" if column == "function" else "right")
    for row in rows:
        goal = f"≤ {row.goal:.2f} ×" if row.goal else ""
        met = "" if row.goal is None else "[red]missed[/]" if row.missed else "[green]met[/]"
        table.add_row(row.function, _ms(row.median), _ms(row.p95), f"{row.ratio:.2f} ×", goal, met)
    console.print(table)
    console.print(f"code {sizes.task:.2f} MiB, layer {sizes.layer:.2f} MiB, unpacked {sizes.unpacked:.1f} MiB")


def _page(rows: list[Row], sizes: Sizes, rounds: int) -> str:
    day = datetime.now(UTC).date().isoformat()
    kernel = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} cores, {platform.system()} {kernel}, Python {platform.python_version()}"
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {day}: {machine}, load {os.getloadavg()[0]:.1f} when it ended. Compare ratios, not",
        "seconds: each ratio is the median of rounds in which both were measured side by side.",
        "",
        "## Cold start and size",
        "",
        f"A new process with the packaged archives and what Lambda has, and nothing else; {rounds} rounds. The floor imports",
        "chalice and boto3 and makes one client. A function imports the application and makes the services of its handler,",
        "which asks where its queues are (answered by moto on this machine).",
        "",
        "| function | median | p95 | of the floor | goal |",
        "|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        f"Code {sizes.task:.2f} MiB, layer {sizes.layer:.2f} MiB, unpacked {sizes.unpacked:.1f} MiB, bytecode included.",
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"≤ {row.goal:.2f} × {'**missed**' if row.missed else 'met'}"
    return f"| {row.function} | {_ms(row.median)} | {_ms(row.p95)} | {row.ratio:.2f} × | {goal} |"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
