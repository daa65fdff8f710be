"""Leases over a minute: what a host with more than a page of containers held is ended while one run lasts."""

from dataclasses import dataclass

from chalicelib.contract.events import Event
from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Status
from chalicelib.services.leases import PAGE, Leases
from tests.builders import a_container
from tests.fakes.world import World

SMALL = Resources(memory_mb=64, cpu_shares=100, disk_mb=100)


@dataclass
class EndedAtOnce:
    """An event queue whose events are recorded as they are sent."""

    world: World

    def send(self, event: Event, attempt: int = 0) -> None:
        self.world.from_control_plane(event)


def test_a_long_watch_ends_all_that_a_host_held_page_by_page() -> None:
    world = World(hosts=2)
    hold(world, "host-1", PAGE + 5)
    hold(world, "host-2", PAGE + 5)
    world.clock.advance(61)
    world.hosts.heartbeat("host-2", world.hosts.get("host-2").report, world.clock.now())  # type: ignore[arg-type]
    leases = Leases(world.containers, world.hosts, EndedAtOnce(world), world.clock, width=4)

    assert leases.run() == PAGE
    assert world.clock.slept == []
    assert leases.run(seconds=40) == 5

    assert world.clock.slept == [10, 10, 10, 10]
    by_host = {(each.host_id, each.status) for each in world.containers.records.values()}
    assert by_host == {("host-1", Status.ERROR), ("host-2", Status.CREATING)}


def test_a_host_with_nothing_left_is_not_read_again_in_the_same_run() -> None:
    world = World()
    hold(world, "host-1", PAGE + 5)
    reads: list[str] = []
    on_host = world.containers.on_host
    world.containers.on_host = lambda host_id, limit: reads.append(host_id) or on_host(host_id, limit)  # type: ignore[method-assign, func-returns-value]
    world.clock.advance(61)

    Leases(world.containers, world.hosts, EndedAtOnce(world), world.clock).run(seconds=60)

    assert len(reads) == 3


def hold(world: World, host_id: str, count: int) -> None:
    for _ in range(count):
        container = a_container(user_id=f"user-of-{host_id}", resources=SMALL)
        world.containers.records[container.user_id, container.id] = container
        world.containers.place(container, world.hosts.get(host_id), world.clock.now())
