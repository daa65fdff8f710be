"""`make simulate` and `make ablate`: seeds and mechanisms come in, counts, a trace or a table go out.

python -m tests.faults simulate          SEEDS=2000 seeds on two processes, or every step of SEED=n
python -m tests.faults crashpoints       every flow, every call, every fault
python -m tests.faults ablate            what the suite says without each mechanism
"""

import logging
import os
import sys
import time

from rich.console import Console
from rich.table import Table

from tests.faults.ablations import ABLATIONS, Finding, ablate_fully
from tests.faults.auditor import Tally
from tests.faults.crashpoints import FLOWS, cases
from tests.faults.parallel import chunks, each_of, simulate_chunk
from tests.faults.simulation import run


def main(arguments: list[str]) -> int:
    """The exit code."""
    logging.disable(logging.CRITICAL)
    console = Console(soft_wrap=True)
    commands = {"simulate": simulate, "crashpoints": crashpoints, "ablate": ablations}
    if len(arguments) != 1 or arguments[0] not in commands:
        console.print(__doc__)
        return 2
    return commands[arguments[0]](console)


def simulate(console: Console) -> int:
    """Many seeds, or one with every step."""
    if seed := os.environ.get("SEED"):
        return _replay(console, int(seed))
    began = time.monotonic()
    total, failures = Tally(), []
    for tally, failed in each_of(simulate_chunk, chunks(int(os.environ.get("SEEDS") or 2000))):
        total.add(tally)
        failures += failed
        for line in failed:
            console.print(line, style="red", highlight=False)
    console.print(_counts(total), f"{time.monotonic() - began:.0f} s")
    return 1 if failures else 0


def _replay(console: Console, seed: int) -> int:
    result = run(seed, traced=True)
    for line in result.trace:
        console.print(line, highlight=False, markup=False)
    console.print(f"seed {seed}: {result.violation or f'all holds, {result.healed_after:.0f} s after the last fault'}")
    return 1 if result.violation else 0


def crashpoints(console: Console) -> int:
    """Every flow, every call, every fault."""
    table = Table(title="Crash points", title_justify="left")
    for column in ("flow", "calls x faults", "broken", "slowest recovery", "ends"):
        table.add_column(column)
    broken = 0
    for flow in FLOWS:
        done = list(cases(flow))
        failed = [case for case in done if case.violation]
        broken += len(failed)
        ends = sorted({str(case.status.value) if case.status else "no record" for case in done})
        slowest = max(case.healed_after for case in done)
        table.add_row(flow.name, str(len(done)), str(len(failed)), f"{slowest:.0f} s", ", ".join(ends))
        for case in failed:
            console.print(str(case), style="red", highlight=False)
    console.print(table)
    return 1 if broken else 0


def ablations(console: Console) -> int:
    """Each mechanism away in turn; 1 when the suite does not notice."""
    table = Table(title="Without each mechanism", title_justify="left")
    for column in ("mechanism", "crash points broken", "seeds broken", "invariants", "first noticed by"):
        table.add_column(column)
    missed = 0
    for finding in each_of(ablate_fully, list(range(len(ABLATIONS)))):
        missed += not finding.caught
        table.add_row(*_row(finding), style=None if finding.caught else "red")
    console.print(table)
    return 1 if missed else 0


def _row(finding: Finding) -> tuple[str, ...]:
    invariants = sorted({*finding.broken_cases, *finding.broken_seeds}, key=lambda name: (len(name), name))
    return (
        finding.mechanism,
        f"{finding.broken_cases.total()} of {finding.cases}",
        f"{finding.broken_seeds.total()} of {finding.seeds}",
        ", ".join(invariants) or "none",
        finding.first_case[:80] or (f"seed {finding.first_seed}" if finding.caught else "nothing"),
    )


def _counts(total: Tally) -> Table:
    table = Table(title="Simulated", title_justify="left", show_header=False)
    for name, value in vars(total).items():
        if name == "faults":
            table.add_row("faults", f"{value.total():,}: " + ", ".join(f"{n} {k}" for k, n in value.most_common()))
        else:
            table.add_row(name.replace("_", " "), f"{value:,}")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
