"""One agent; a neighbour that is measured; and a table of it all at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM
from tests.aws import ROOT, Aws
from tests.docker.agents import RunningAgent, agent_on
from tests.limits.neighbour import Neighbour, neighbour_on

TABLE: list[str] = []
SYSCTL = ROOT / "infra/aws/hosts/sysctl.conf"
SHARED = ("kernel.pty.max", "kernel.keys", "fs.inotify")


@pytest.fixture(scope="module")
def agent(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path_factory.mktemp("agent")) as running:
        yield running


@pytest.fixture(scope="module")
def neighbour(agent: RunningAgent) -> Iterator[Neighbour]:
    with neighbour_on(agent, BOOKWORM) as beside:
        yield beside


@pytest.fixture(scope="module", autouse=True)
def shared_as_on_hosts() -> Iterator[None]:
    """What containers share of the machine is as large as on the fleet's hosts meanwhile, if nobody made it larger."""
    settings = dict(line.split(" = ") for line in SYSCTL.read_text().splitlines() if line.startswith(SHARED))
    files = {Path("/proc/sys") / name.replace(".", "/"): int(value) for name, value in settings.items()}
    before = {file: int(file.read_text()) for file in files}
    for file, value in files.items():
        file.write_text(str(max(value, before[file])))
    yield
    for file, value in before.items():
        file.write_text(str(value))


@pytest.fixture
def table() -> list[str]:
    """Lines shown at the end of the run."""
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TABLE:
        terminalreporter.section("limits: what was tried, what came of it, and how much slower a neighbour was")
        for line in TABLE:
            terminalreporter.write_line(line)
