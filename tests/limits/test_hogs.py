"""Limits hold against programs that try to pass them, and leave the neighbour alive."""

import time

import pytest

from infra.ground.images import BOOKWORM
from tests.docker.agents import RunningAgent
from tests.limits.fillers import FILLERS
from tests.limits.hogs import HOGS
from tests.limits.neighbour import Neighbour
from tests.limits.probes import Probe, ground_on


@pytest.mark.parametrize("probe", [*HOGS, *FILLERS], ids=str)
def test_a_hog_gets_what_it_may_and_no_more(
    probe: Probe, agent: RunningAgent, neighbour: Neighbour, table: list[str]
) -> None:
    with ground_on(agent, BOOKWORM, probe.resources) as ground:
        began = time.time()

        verdict = probe.attempt(ground)

        beside = neighbour.ratio(began)
        table.append(f"{probe.row}  {probe.name:<34} {verdict.seen:<60} {beside}")
        assert verdict.held, verdict.seen
        assert neighbour.ground.answers()
