"""The page: results of `make faults` and of `make chaos` come in, the tables of `docs/reliability.md` go out."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

FIGURES = ("<!-- figures begin -->", "<!-- figures end -->")
MATRIX = ("<!-- matrix begin -->", "<!-- matrix end -->")
LOADS = ("idle", "creates", "deletes")


def write(page: Path, results: Sequence[Mapping[str, Any]], matrix: Mapping[str, Any] | None) -> None:
    """Put these in place of the last; a matrix that was not played is left as it stands."""
    text = _between(page.read_text(), FIGURES, figures(results))
    if matrix is not None:
        text = _between(text, MATRIX, kills(matrix))
    page.write_text(text)


def figures(results: Sequence[Mapping[str, Any]]) -> str:
    """One table for each part, with its command and date."""
    return "\n\n".join(_part(result) for result in results)


def _part(result: Mapping[str, Any]) -> str:
    lines = [
        f"**{result['part']}**: `{result['command']}`, {result['at']}",
        "",
        "| measure | in | found | goal | taken | against | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["measures"]:
        met = "" if row["met"] else " **missed**"
        taken = row["how"] + (f" ({row['note']})" if row["note"] else "")
        cells = (
            row["name"], f"{row['n']:,} {row['unit']}", f"{row['found']:,}{met}",
            f"≤ {row['most']:,} in ≥ {row['least_n']:,}", taken, row["where"], f"{row['seconds']:.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def kills(matrix: Mapping[str, Any]) -> str:
    """Seconds to 0 differences by target, action and load."""
    cells = matrix["cells"]
    failed = sum(not each["ok"] for each in cells)
    lines = [
        f"{len(cells)} cells in {matrix['minutes']} minutes, {failed} failed.",
        "",
        f"| target | action | {' | '.join(LOADS)} |",
        "|---|---|---|---|---|",
    ]
    for (target, action), row in groupby(cells, key=lambda each: (each["cell"]["target"], each["cell"]["action"])):
        found = {each["cell"]["load"]: each for each in row}
        shown = (_cell(found.get(load)) for load in LOADS)
        lines.append(f"| {target} | {action} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None:
        return "not played"
    errors = outcome["statuses"].get("error", 0)
    text = f"{outcome['seconds']:.1f}" + (f" ({errors} in error)" if errors else "")
    return text if outcome["ok"] else "**failed**"


def _between(text: str, marks: tuple[str, str], content: str) -> str:
    before, _, rest = text.partition(marks[0])
    _, _, after = rest.partition(marks[1])
    return f"{before}{marks[0]}\n{content}\n{marks[1]}{after}"
