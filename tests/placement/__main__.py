"""`python -m tests.placement`: nothing comes in, `docs/placement.md` gets its table and plot (some minutes)."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.placement.measure import OURS, RULES, Measured, broken, measured
from tests.placement.report import Pages, write

DOCS = Path(__file__).resolve().parents[2] / "docs"
STEPS = ((10, 1000), (100, 10_000), (1000, 100_000), (10_000, 1_000_000))
COMPARED = (100, 10_000)


def main() -> int:
    logging.getLogger("berth").addHandler(logging.NullHandler())
    runs = [_run(OURS, *step) for step in STEPS]
    large = runs[-1]
    runs += [_run(rule, *COMPARED) for rule in RULES if rule != OURS]
    write(Pages(DOCS / "placement.md", DOCS / "placement.svg"), runs, large, datetime.now(UTC))
    missed = broken(large)
    sys.stdout.write(f"promises not kept: {', '.join(missed)}\n" if missed else "every promise is kept\n")
    return len(missed)


def _run(rule: str, hosts: int, containers: int) -> Measured:
    run = measured(rule, hosts, containers)
    sys.stdout.write(f"{hosts:6} hosts, {run.figures.placed:8} placed, {run.seconds:5.0f} s: {rule.strip('*')}\n")
    sys.stdout.flush()
    return run


if __name__ == "__main__":
    sys.exit(main())
