"""One agent, a victim, a neighbour that is measured, a world round the engine; a table of it all at the end."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.table import Table

from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on
from tests.escape.cells import Site
from tests.escape.exceptions import absent
from tests.escape.world import world_round
from tests.limits.fillers import FILLERS
from tests.limits.hogs import HOGS
from tests.limits.neighbour import neighbour_on
from tests.limits.probes import ground_on

Row = tuple[int, str, str, str, str]
ROWS: list[Row] = []


@pytest.fixture(scope="module")
def agent(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path_factory.mktemp("agent")) as running:
        yield running


@pytest.fixture(scope="module")
def site(agent: RunningAgent, engine: Engine) -> Iterator[Site]:
    report = agent.wait(lambda: agent.heartbeats)[-1].report
    with (
        neighbour_on(agent, BOOKWORM) as neighbour,
        ground_on(agent, BOOKWORM, user_id="victim") as victim,
        world_round(engine) as world,
    ):
        yield Site(agent, victim, neighbour, world, report.development, tuple(report.runtimes))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Lines of the table shown at the end of the run."""
    return ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    table = Table(title="What was tried from inside a container, and what came of it (reliability §4.4)")
    for name in ("row", "probe", "came of it", "seen", "neighbour"):
        table.add_column(name, overflow="fold", justify="right" if name == "row" else "left")
    lines = [*ROWS, *((each.row, each.name, "no probe", each.reason, "") for each in absent())]
    lines += [(each.row, each.name, "tests/limits", "in the table of limits", "") for each in HOGS + FILLERS]
    for line in sorted(lines):
        table.add_row(str(line[0]), *line[1:])
    console = Console(width=150, file=io.StringIO())
    console.print(table)
    terminalreporter.write_line(console.file.getvalue())  # type: ignore[attr-defined]
