"""`python -m infra.ground prepare|clean`: have what the machine lacks, or take away what an engine left."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from infra.ground.engine import PrivateEngine, engine_at
from infra.ground.errors import GroundError, NoEngine
from infra.ground.images import BOOKWORM, BaseImages

DATA = Path(".berth")
CACHE = DATA / "cache"


def prepare(console: Console) -> None:
    """Have an engine that can start, and the base image in the cache or the engine."""

    def say(line: str) -> None:
        console.print(f"==> {line}", highlight=False, soft_wrap=True)

    if (CACHE / "debian-bookworm.tar").exists():
        return
    bar = Progress(
        TextColumn("    {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    with engine_at(DATA / "demo" / "engine", say) as engine, bar:
        task = bar.add_task("packages", total=1.0, visible=False)
        client = engine.client()
        try:

            def advance(share: float) -> None:
                bar.update(task, completed=share, visible=True)

            BaseImages(client, CACHE, say, advance).ensure_bookworm()
        finally:
            client.close()
        say(f"Docker {engine.version} with {BOOKWORM} is ready")


def clean() -> None:
    """Stop every private engine of this clone that is left; NoEngine when a living run uses one."""
    used = []
    for folder in (*DATA.glob("*/engine*"), *DATA.glob("*/*/engine")):
        try:
            PrivateEngine(folder).stop()
        except NoEngine as error:
            used.append(str(error))
    if used:
        raise NoEngine("; ".join(used))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.ground", description=__doc__)
    parser.add_argument("verb", choices=["prepare", "clean"])
    console = Console(stderr=True)
    try:
        prepare(console) if parser.parse_args().verb == "prepare" else clean()
    except GroundError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
