"""What is tried against every wall on the test machine's engine, on a host of the fleet: xfs, AppArmor, control groups
of the second version, systemd. The suite runs on the emulated machine itself, beside its engine; an hour.
"""

import contextlib
import os
from collections.abc import Iterator

import pytest

from infra.ground.engine import Engine
from infra.ground.images import BaseImages
from tests.engines import CACHE, say
from tests.fleet.debian import Debian
from tests.fleet.hosts import AGENT_PORT, BELOW_THE_FLOOR
from tests.fleet.instances import Plan, booted
from tests.fleet.machine import Machine
from tests.fleet.stage import Stage
from tests.fleet.suites import disk_of_suites, run_suites

SECONDS = 3 * 3600
PROBES = os.environ.get("PROBES", "")
"""As pytest's `-k`: all unless it says which."""
OWN_UNITS = "berth-agent berth-drain berth-control-key.timer"
"""They keep the engine, and need a metadata service that the suite puts its own in front of."""


@pytest.fixture(scope="module")
def machine(debian: Debian, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A host whose own agent leaves the engine to the suite's."""
    disk = disk_of_suites(tmp_path_factory.mktemp("disk"), say)
    with booted(debian, stage.aws, stage.host(), Plan(AGENT_PORT, [BELOW_THE_FLOOR], disk), say) as done:
        done.machine.ask(f"systemctl stop {OWN_UNITS}")
        done.machine.forward_engine()
        engine = Engine(done.machine.engine_url, owned=False, netns=None, version="")
        with contextlib.closing(engine.client()) as client:
            images = BaseImages(client, CACHE, say)
            images.ensure_bookworm()
            images.ensure_tiny()
        yield done.machine


@pytest.mark.timeout(SECONDS)
def test_every_wall_holds_on_a_host_of_the_fleet(machine: Machine) -> None:
    narrowed = ["-k", f"'{PROBES}'"] if PROBES else []

    done = run_suites(machine, say, SECONDS, "-v", "--timeout", "1800", "tests/escape", *narrowed)

    assert done.exit_code == 0
