"""Batches with events that cannot be read: the others are applied once and in order, and the message is kept."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.contract.events import AboutContainer
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.errors import RetryLater, UnreadableEvent
from chalicelib.domain.transitions import identity
from chalicelib.edge import queues
from tests.examples import examples
from tests.fakes.fifo import FifoQueue
from tests.fakes.metrics import MemoryMetrics
from tests.fakes.world import World
from tests.newer import SPOILERS, batch_of, creation, sealed_text
from tests.unit.chalicelib.domain.test_batches import content
from tests.unit.chalicelib.domain.test_transitions import life
from tests.unit.chalicelib.services.steps import again, placed, subscribed
from tests.unit.chalicelib.services.test_dead_letters import Redelivery, sqs

RECEIVES = 3


@pytest.mark.parametrize("how", SPOILERS)
def test_what_can_be_read_of_it_is_applied_and_pushed_and_it_comes_again_at_once(how: str) -> None:
    world, redelivery, metrics = World(), Redelivery(), MemoryMetrics()
    container = placed(world)
    heard = subscribed(world)
    body = sealed_text(batch_of(creation(container), {1: how}))

    with pytest.raises(UnreadableEvent):
        queues.record_events(sqs(body), world.status, redelivery, metrics)

    assert again(world, container).status is Status.RUNNING
    assert heard[-1]["type"] == "updated"
    assert redelivery.said == [0]
    assert metrics.counts["EventsDropped reason=unreadable"] == 1


def test_the_log_says_of_which_container_what_could_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    container = placed(world)
    body = sealed_text(batch_of(creation(container), {1: "another field"}))

    with pytest.raises(UnreadableEvent, match="1 of 4"):
        queues.record_events(sqs(body), world.status, Redelivery(), MemoryMetrics())

    [line] = [record for record in caplog.records if record.getMessage() == "event cannot be read"]
    found: Any = line.__dict__
    assert (found["kind"], found["number"], found["reason"]) == ("created", 2, "extra_forbidden created.snapshot")


def test_the_message_of_one_that_is_alone_says_its_group(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    event = sqs(sealed_text('{"kind": "hibernated"}'))
    event.to_dict()["Records"][0]["attributes"]["MessageGroupId"] = "container-7"
    metrics = MemoryMetrics()

    with pytest.raises(ValidationError):
        queues.record_events(event, world.status, Redelivery(), metrics)

    [line] = [record for record in caplog.records if record.getMessage() == "message cannot be read"]
    assert line.__dict__["group"] == "container-7"
    assert metrics.counts["EventsDropped reason=unreadable"] == 1


def test_another_host_gets_nothing_applied_by_an_event_that_cannot_be_read() -> None:
    world, metrics = World(hosts=2), MemoryMetrics()
    container = placed(world)
    other = "host-2" if container.host_id == "host-1" else "host-1"
    body = sealed_text(batch_of(creation(container), {1: "another kind"}), other)

    queues.record_events(sqs(body), world.status, Redelivery(), metrics)

    assert again(world, container) == container
    assert metrics.counts["EventsDropped reason=untrusted"] == 1


def test_a_record_that_keeps_changing_is_another_reason_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    container = placed(world)
    body = sealed_text(batch_of(creation(container), {1: "another kind"}))

    def busy(*_: Any) -> Any:
        raise RetryLater("record kept changing", seconds=1)

    monkeypatch.setattr(type(world.status), "_applied", busy)
    redelivery = Redelivery()

    with pytest.raises(RetryLater):
        queues.record_events(sqs(body), world.status, redelivery, MemoryMetrics())

    assert redelivery.said == [1]


class Road:
    """The queue of events with its dead letters, and the status function that takes from it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.dead = FifoQueue(lambda: 0.0)
        self.queue = FifoQueue(lambda: 0.0, 60, self.dead, RECEIVES)
        self._numbers = itertools.count()

    def send(self, text: str, group: str) -> None:
        self.queue.send(sealed_text(text), group, str(next(self._numbers)))

    def run(self, twice: bool = False) -> None:
        """Until nothing is left; `twice` delivers every message once more."""
        while self.queue.waiting():
            for delivery in self.queue.receive():
                try:
                    for _ in range(1 + twice):
                        event = sqs(delivery.body, delivery.count)
                        queues.record_events(event, self._world.status, Redelivery(), MemoryMetrics())
                    self.queue.delete(delivery.receipt)
                except (UnreadableEvent, ValidationError):
                    self.queue.change_visibility(delivery.receipt, 0)


def split(count: int, sizes: Sequence[int]) -> list[range]:
    """Places of events, in messages of these sizes, the rest in pairs or more."""
    ends = [place for place in itertools.accumulate(sizes) if place < count - 1]
    return [range(first, last) for first, last in itertools.pairwise([0, *ends, count])]


def alone(container: Container, events: Sequence[AboutContainer]) -> tuple[World, Container]:
    """What these events make of it one by one."""
    world = World()
    assert placed(world) == container
    for event in events:
        world.from_host(event)
    return world, again(world, container)


@settings(max_examples=examples(100))
@given(
    st.dictionaries(st.integers(0, 8), st.sampled_from(sorted(SPOILERS)), max_size=9),
    st.lists(st.integers(2, 4), max_size=4),
    st.booleans(),
)
def test_all_that_can_be_read_is_applied_once_in_order_and_the_rest_kept(
    spoilt: Mapping[int, str], sizes: Sequence[int], twice: bool
) -> None:
    world = World()
    container, neighbour = placed(world), placed(world)
    road, events = Road(world), life(container)[1:]
    messages = split(len(events), sizes)
    for places in messages:
        here = {place - places.start: spoilt[place] for place in places if place in spoilt}
        road.send(batch_of([events[place] for place in places], here), container.id)
    road.send(batch_of(creation(neighbour), {}), neighbour.id)

    road.run(twice)

    readable = [event for place, event in enumerate(events) if place not in spoilt]
    told, expected = alone(container, readable)
    now = again(world, container)
    assert content(now, world.containers.log.get(container.id, [])) == content(
        expected, told.containers.log.get(container.id, [])
    )
    assert again(world, neighbour).status is Status.RUNNING
    kept = [places for places in messages if set(places) & set(spoilt)]
    assert len(road.dead.waiting()) == len(kept)

    road.dead.redrive(road.queue)
    road.run(twice)

    assert again(world, container) == now
    assert len(road.dead.waiting()) == len(kept)


@settings(max_examples=examples(50))
@given(st.sets(st.integers(0, 3), min_size=1, max_size=3))
def test_what_is_redriven_once_it_can_be_read_makes_up_for_the_end_of_a_batch(lost: set[int]) -> None:
    world = World()
    container = placed(world)
    road, events = Road(world), creation(container)
    road.send(batch_of(events, dict.fromkeys(lost, "another kind")), container.id)
    road.run()
    assert (again(world, container).status is Status.RUNNING) == (3 not in lost)

    road.send(batch_of(events, {}), container.id)
    road.run()

    now = again(world, container)
    assert now.status is Status.RUNNING
    assert now.change_id == identity(events[3])
