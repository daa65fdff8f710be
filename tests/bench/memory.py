"""Memory: process ids of a running stack come in, MiB of the agent and of each function's process go out."""

from pathlib import Path

from tests.bench.lives import client
from tests.bench.measures import Measure
from tests.bench.stack import Stack

LIVES = 5
_PARTS = ("Rss", "Pss", "Private_Dirty")


def measure(stack: Stack) -> list[Measure]:
    """After some lives; resident memory, which counts what processes share in each, and their own part of it."""
    with client(stack) as user:
        for _ in range(LIVES):
            user.live()
        pids: dict[str, list[int]] = stack.ask("pids")
    found = []
    for name in ("agent", *sorted(set(pids) - {"agent", "gateway", "moto"})):
        sizes = [_of(pid) for pid in pids[name]]
        if sizes:
            found.append(Measure(name, "MiB", [size["Rss"] for size in sizes], note=_note(sizes)))
    return found


def _note(sizes: list[dict[str, float]]) -> str:
    share, own = (max(size[part] for size in sizes) for part in ("Pss", "Private_Dirty"))
    return f"its share of what is shared counted: {share:.0f}; its own: {own:.0f}"


def _of(pid: int) -> dict[str, float]:
    """MiB by kind, as the kernel says."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name.rstrip(":"): int(size) for name, size, *_ in (line.split() for line in lines)}
    return {part: kilobytes[part] / 1024 for part in _PARTS}
