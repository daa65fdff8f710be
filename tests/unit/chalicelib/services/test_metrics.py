"""What is measured: each happening under its name, dimensions from short lists, and nothing when nothing happens."""

import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.adapters.emf import EmfMetrics
from chalicelib.contract.causes import Code
from chalicelib.contract.events import Failed, Progress, Ready
from chalicelib.contract.statuses import Stage
from chalicelib.domain.errors import Busy, RateLimited
from chalicelib.services.dead_letters import DeadLetterWatch
from chalicelib.services.fanout import FanOut
from chalicelib.services.rates import Limit, Limiter
from tests.builders import NOW, USER, a_cause, a_connection, a_container, about
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import MemoryMetrics
from tests.fakes.rates import MemoryRates
from tests.fakes.world import World


@pytest.fixture
def metrics() -> MemoryMetrics:
    return MemoryMetrics()


def measured(world: World, metrics: MemoryMetrics) -> World:
    world.status = replace(world.status, metrics=metrics)
    world.sweep = replace(world.sweep, metrics=metrics)
    world.leases = replace(world.leases, metrics=metrics)
    return world


def test_a_creation_is_measured_stage_by_stage_and_as_a_whole(metrics: MemoryMetrics) -> None:
    world = measured(World(), metrics)
    container = a_container(host_id="host-1")
    world.containers.records[USER, container.id] = container
    stages = [(Stage.PULLING, 15), (Stage.CREATING, 65), (Stage.CONFIGURING, 90)]

    for number, (stage, progress) in enumerate(stages, 1):
        world.from_host(Progress(**about(container, number), stage=stage, progress=progress, message="m"))
        world.clock.advance(2)
    world.from_host(Ready(**about(container, 4), engine_id="e" * 64, started_at=NOW))

    assert metrics.counts["EventsApplied kind=progress"] == 3
    assert metrics.measures["StageSeconds stage=pulling"] == [2]
    assert metrics.measures["StageSeconds stage=configuring"] == [2]
    assert metrics.measures["ReadySeconds"] == [6]


def test_a_failed_creation_is_counted_by_its_cause_and_a_repeated_event_as_dropped(metrics: MemoryMetrics) -> None:
    world = measured(World(), metrics)
    container = a_container(host_id="host-1")
    world.containers.records[USER, container.id] = container
    failed = Failed(**about(container, 1), cause=a_cause(Code.IMAGE_NOT_FOUND))

    world.from_host(failed)
    world.from_host(failed)
    world.from_host(Failed(**about(a_container(), 1), cause=a_cause()))

    assert metrics.counts["CreationsFailed code=image_not_found"] == 1
    assert metrics.counts["EventsDropped reason=applied already"] == 1
    assert metrics.counts["EventsDropped reason=unknown container"] == 1


def test_the_sweep_counts_what_it_repairs(metrics: MemoryMetrics) -> None:
    world = measured(World(), metrics)
    container = a_container()
    world.containers.records[USER, container.id] = container
    world.clock.advance(6)

    world.sweep.run()
    world.sweep.run()

    assert metrics.counts == {"SweepRepairs status=creating": 1}


def test_lost_hosts_their_containers_and_the_brake_are_counted(metrics: MemoryMetrics) -> None:
    world = measured(World(hosts=1), metrics)
    container = a_container(host_id="host-1")
    world.containers.records[USER, container.id] = container
    world.clock.advance(100)

    world.leases.run()

    assert metrics.counts == {"HostsLost": 1, "LeaseEvictions": 1}
    braked = measured(World(hosts=3), metrics)
    braked.clock.advance(100)
    braked.leases.run()
    assert metrics.counts["LeaseBrake"] == 1


def test_pushes_are_counted_by_their_outcome(metrics: MemoryMetrics) -> None:
    world = World()
    fanout = FanOut(world.connections, world.sockets, world.clock, metrics=metrics)
    world.sockets.gone.add("gone")
    world.sockets.stuck.add("stuck")

    for connection_id in ("fine", "gone", "stuck"):
        fanout.push(a_connection(connection_id), ["{}"])

    assert metrics.counts == {"Pushes outcome=sent": 1, "Pushes outcome=gone": 1, "Pushes outcome=stuck": 1}


def test_refused_requests_and_counts_not_shared_are_counted_by_kind(metrics: MemoryMetrics) -> None:
    limiter = Limiter(Limit("requests", 1, 60, 1), MemoryRates(down=True), FakeClock(), metrics)
    limiter.count("key")

    with pytest.raises(RateLimited):
        limiter.count("key")

    assert metrics.counts == {"RateLimited kind=requests": 1, "RateNotShared kind=requests": 2}


class Waiting:
    def waiting(self, queue: str) -> int:
        if queue == "commands":
            raise Busy("the queue did not say")
        return 3


def test_dead_letters_are_measured_and_a_queue_that_does_not_answer_is_left_out(metrics: MemoryMetrics) -> None:
    DeadLetterWatch(Waiting(), metrics).run()

    assert metrics.measures == {"DeadLetters queue=enrolments": [3], "DeadLetters queue=events": [3]}


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_measurements_leave_as_one_line_per_dimensions_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    emf = EmfMetrics("prod")
    emf.count("RateLimited", kind="frames")
    emf.count("RateLimited", kind="frames")
    emf.count("Pushes", outcome="sent")
    emf.measure("QueueAge", 0.25, "Seconds", queue="events")
    emf.measure("QueueAge", 1.5, "Seconds", queue="events")

    emf.flush()
    emf.flush()

    lines = {line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"]: line for line in written(capsys)}
    assert lines.keys() == {"RateLimited", "Pushes", "QueueAge"}
    limited = lines["RateLimited"]
    assert limited["RateLimited"] == [2]
    assert (limited["deployment"], limited["kind"]) == ("prod", "frames")
    [directive] = limited["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Berth"
    assert [set(each) for each in directive["Dimensions"]] == [{"deployment", "kind"}, {"deployment"}]
    assert lines["QueueAge"]["QueueAge"] == [0.25, 1.5]
    assert lines["QueueAge"]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Unit"] == "Seconds"


def test_more_values_than_one_line_may_hold_are_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    emf = EmfMetrics("prod")
    for _ in range(150):
        emf.measure("QueueAge", 1.0, "Seconds", queue="events")

    emf.flush()

    assert sum(len(line["QueueAge"]) for line in written(capsys)) == 150


def test_ages_of_nothing_are_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    EmfMetrics("prod").flush()

    assert written(capsys) == []
