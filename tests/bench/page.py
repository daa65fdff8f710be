"""The page: parts as they were run come in, tables and pictures of `docs/benchmarks.md` go out."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.measures import Measure, Part
from tests.bench.plots import draw
from tests.bench.series import median, p95, paired

HEADINGS = {
    "starts": (
        "Starts and ends",
        "One container after the other, in rounds with the raw engine, in an order that chance decides: the same engine, "
        "image (`debian:bookworm`, on the host) and limits (256 MiB, half a core, the same number of processes). Ours go "
        "by HTTP and WebSocket through gateway, functions, queues and agent, with a new container's own walls and files, "
        "by crun where it works (ADR 0033); the raw ones are the engine's own API with the network and the runtime of its "
        "default. Peers take 1.8 to 4.5 times the raw engine.",
    ),
    "warm": (
        "Warm starts",
        "The same with containers that the agent has made ahead. Where the time of these goes, frame by frame, is below: "
        "a frame has the events' own road in it, by queue, function, record and gateway.",
    ),
    "stages": (
        "Where the time goes",
        "One container after the other, with the agent's calls of its engine noted on their way (which costs each some "
        "tenths of a millisecond). Frames are timed where they arrive, so each row has the events' own road in it.",
    ),
    "rates": (
        "Many at once",
        "Containers per second from the first POST until the last is ready, beside the raw engine asked for as many at once. "
        "Below, where the time of each goes.",
    ),
    "fanout": (
        "Fan-out",
        "From the PATCH that renames a container to the frame that says so, at subscribers of one user.",
    ),
    "terminals": (
        "Terminals",
        "A terminal goes by WebSocket through the relay and the agent; beside it one of the engine's own API, which only "
        "who is root on the host may have. Both echo what is typed at `cat`. The prompt is a new login shell's.",
    ),
    "memory": (
        "Memory",
        "Resident memory of each process, in MiB, after some lives; functions are forked from one process and share most.",
    ),
    "coldstart": (
        "Cold start and size",
        "A new process with the packaged archives and what Lambda has, and nothing else. The floor imports chalice and "
        "boto3 and makes one client. A function is started as Lambda starts it, by its handler's name and with the "
        "environment of every stage, and makes what its handler answers with; nobody is asked anything meanwhile.",
    ),
}  # fmt: skip


def write(page: Path, parts: Sequence[Part]) -> None:
    """The page with these parts new and the others as they were, and the parts' pictures beside it."""
    sections = _sections(page)
    sections |= {HEADINGS[part.name][0]: _section(part, page) for part in parts}
    lines = [
        "# Benchmarks",
        "",
        'Written by `make bench` (`ARGS="--parts starts,rates"` for some parts, `--rounds` for more samples). Compare',
        "ratios, not seconds: each is the median over rounds in which both were measured side by side, with the interval",
        "that 95 of 100 resamplings of the rounds give. No test depends on a figure of this page.",
    ]
    for heading, _ in HEADINGS.values():
        lines += ["", *sections[heading]] if heading in sections else []
    page.write_text("\n".join(lines) + "\n")


def _sections(page: Path) -> dict[str, list[str]]:
    """What the page has, by its headings."""
    found: dict[str, list[str]] = {}
    text = page.read_text() if page.exists() else ""
    for section in text.split("\n## ")[1:]:
        lines = f"## {section}".strip().splitlines()
        found[lines[0].removeprefix("## ")] = lines
    return found


def _section(part: Part, page: Path) -> list[str]:
    heading, words = HEADINGS[part.name]
    picture = page.with_name(f"benchmarks-{part.name}.svg")
    draw(part, picture)
    facts = [f"{name}: {value}" for name, value in part.facts.items()]
    return [
        f"## {heading}",
        "",
        words,
        "",
        f"{part.at} on {part.machine}; load {part.load:.1f} on average of the last five minutes when it ended."
        + (f" {'; '.join(facts)}." if facts else ""),
        "",
        "| | n | median | p95 | beside it | ratio (95 %) | goal |",
        "|---|---|---|---|---|---|---|",
        *(_row(measure) for measure in part.measures),
        "",
        f"![Shares of samples by how much they took]({picture.name})",
    ]


def _row(measure: Measure) -> str:
    beside, ratio = measure.note, ""
    if measure.raw:
        found = paired(measure.ours, measure.raw)
        beside = f"{amount(median(measure.raw), measure.unit)} ({measure.note})"
        ratio = f"{found.middle:.2f} × ({found.low:.2f}–{found.high:.2f})"
    cells = (
        measure.name, str(len(measure.ours)), amount(median(measure.ours), measure.unit),
        amount(p95(measure.ours), measure.unit), beside, ratio, goal_of(measure),
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def goal_of(measure: Measure) -> str:
    """The goal and whether it was met; when it was not, by how much."""
    goal, found = measure.goal, measure.found
    if goal is None or found is None:
        return ""
    sign, what = ("≥" if goal.least else "≤"), f"{goal.value:.2f} ×"
    if goal.kind != "ratio":
        what = f"{amount(goal.value, measure.unit)} ({goal.kind})"
    if not measure.missed:
        return f"{sign} {what} met"
    return f"{sign} {what} **missed** by {abs(found / goal.value - 1):.0%}"


def amount(value: float, unit: str) -> str:
    """A figure as people read it."""
    if unit == "s":
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} {unit}"
