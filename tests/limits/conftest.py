"""One agent; a neighbour that is measured; and a table of it all at the end."""

from collections.abc import Iterator

import pytest

from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on
from tests.limits.neighbour import Neighbour, neighbour_on

TABLE: list[str] = []


@pytest.fixture(scope="module")
def agent(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path_factory.mktemp("agent")) as running:
        yield running


@pytest.fixture(scope="module")
def neighbour(agent: RunningAgent) -> Iterator[Neighbour]:
    with neighbour_on(agent, BOOKWORM) as beside:
        yield beside


@pytest.fixture
def table() -> list[str]:
    """Lines shown at the end of the run."""
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TABLE:
        terminalreporter.section("limits: what was tried, what came of it, and how much slower a neighbour was")
        for line in TABLE:
            terminalreporter.write_line(line)
