"""Every wall holds against a program that tries it; what does not hold on a development engine is in one table."""

import time
from pathlib import Path

import pytest

from infra.ground.images import BOOKWORM
from tests.escape.cells import Site
from tests.escape.conftest import Row
from tests.escape.exceptions import absent, excused
from tests.escape.interfaces import INTERFACES
from tests.escape.kernel import KERNEL
from tests.escape.network import NETWORK
from tests.escape.processes import PROCESSES
from tests.escape.surroundings import SURROUNDINGS
from tests.limits.fillers import FILLERS
from tests.limits.hogs import HOGS
from tests.limits.probes import Probe, ground_on

PROBES = sorted(KERNEL + PROCESSES + NETWORK + SURROUNDINGS + INTERFACES, key=lambda each: each.row)
OTHER_RUNTIME = "runc"
"""The default of these hosts is crun (ADR 0033)."""


@pytest.mark.parametrize("probe", PROBES, ids=str)
def test_a_wall_holds(probe: Probe, site: Site, rows: list[Row]) -> None:
    _attempt(probe, site, rows)


@pytest.mark.parametrize("probe", sorted(KERNEL + PROCESSES, key=lambda each: each.row), ids=str)
def test_a_wall_of_the_kernels_holds_with_the_other_runtime(probe: Probe, site: Site, rows: list[Row]) -> None:
    if OTHER_RUNTIME in site.runtimes:
        _attempt(probe, site, rows, OTHER_RUNTIME)
    else:
        rows.append((probe.row, f"{probe.name} ({OTHER_RUNTIME})", "no probe", "the engine does not have it", ""))


def _attempt(probe: Probe, site: Site, rows: list[Row], runtime: str | None = None) -> None:
    agent = site.agent
    excuse = next((each for each in excused() if (each.row, each.name) == (probe.row, probe.name)), None)
    with ground_on(agent, BOOKWORM, probe.resources, runtime=runtime) as ground:
        [engine_id] = [each.id for each in agent.containers(ground.spec.container_id)]
        began = time.time()

        verdict = probe.attempt(site.cell(ground))

        came = "held" if verdict.held else "excused" if excuse and site.development else "NOT HELD"
        because = f" [{excuse.reason}; in production {excuse.production}]" if excuse else ""
        name = f"{probe.name} ({runtime})" if runtime else probe.name
        rows.append((probe.row, name, came, verdict.seen + because, site.neighbour.ratio(began)))
        assert verdict.held or (excuse and site.development), verdict.seen
        assert not (verdict.held and excuse), f"it holds: take it out of the table of exceptions ({excuse})"
        assert site.neighbour.ground.answers()
    assert left_of(engine_id) == []
    assert agent.containers(ground.spec.container_id) == []


def left_of(engine_id: str) -> list[str]:
    """Control groups of that container, in which its processes would be."""
    patterns = (f"docker/{engine_id}", f"*/docker/{engine_id}", f"system.slice/docker-{engine_id}.scope")
    return [str(path) for pattern in patterns for path in Path("/sys/fs/cgroup").glob(pattern)]


def test_every_row_has_a_probe_or_a_reason() -> None:
    tried = {probe.row for probe in PROBES + HOGS + FILLERS}

    assert tried | {each.row for each in absent()} == set(range(1, 41))
    assert not tried & {each.row for each in absent()}


def test_the_table_excuses_probes_that_there_are_with_reasons() -> None:
    known = {(probe.row, probe.name) for probe in PROBES}

    for each in excused():
        assert (each.row, each.name) in known, each
    for each in (*excused(), *absent()):
        assert each.reason
        assert each.production
