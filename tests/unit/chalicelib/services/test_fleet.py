"""How full the fleet is: what scales it."""

from chalicelib.services.fleet import Fleet
from tests.builders import a_report
from tests.fakes.metrics import MemoryMetrics
from tests.fakes.world import World


def shown(world: World) -> MemoryMetrics:
    metrics = MemoryMetrics()
    Fleet(world.hosts, world.clock, metrics).run()
    return metrics


def test_the_reserved_share_is_that_of_hosts_that_take_containers() -> None:
    world = World()
    world.hosts.enrol("host-2", "key")
    world.hosts.heartbeat("host-2", a_report(draining=True), world.clock.now())

    metrics = shown(world)

    assert metrics.measures["HostsTakingContainers"] == [1]
    assert metrics.measures["ReservedShare"] == [round(world.hosts.get("host-1").fullness, 4)]


def test_a_fleet_of_which_nobody_answers_is_full() -> None:
    world = World()
    world.clock.advance(600)

    metrics = shown(world)

    assert (metrics.measures["HostsTakingContainers"], metrics.measures["ReservedShare"]) == ([0], [1.0])
