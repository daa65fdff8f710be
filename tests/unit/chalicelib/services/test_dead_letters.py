"""Messages that cannot be dealt with, and those that come back late: the first lose nothing, the second do nothing."""

import json

import pytest
from chalice.app import SQSEvent

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Command, Create, Delete, Power, Rename, Resize, Settle
from chalicelib.contract.events import Created, Event, Failed, Progress, Ready, Removed, Started, Stopped
from chalicelib.contract.signatures import seal
from chalicelib.contract.statuses import Stage, Status
from chalicelib.domain.changes import Changes
from chalicelib.domain.container import Container
from chalicelib.edge import queues
from tests.builders import NOW, USER, a_caller, a_cause, about
from tests.fakes.metrics import MemoryMetrics
from tests.fakes.world import HOST_KEY, World
from tests.newer import sealed_text
from tests.unit.chalicelib.services.steps import accepted, again, placed, provision, ready, running, swept, told


class Redelivery:
    """What was said of when a message comes again."""

    def __init__(self) -> None:
        self.said: list[int] = []

    def after(self, _receipt: str, seconds: int) -> None:
        self.said.append(seconds)


def sqs(body: str, count: int = 1) -> SQSEvent:
    record = {
        "body": body,
        "receiptHandle": "r",
        "messageId": "m",
        "attributes": {"ApproximateReceiveCount": str(count)},
    }
    return SQSEvent({"Records": [record]}, None)


CREATE = {"kind": "create", "container_id": "c", "user_id": "u"}
POISON = [
    "",
    "nonsense",
    "[]",
    "{}",
    json.dumps(CREATE | {"kind": "explode"}),
    json.dumps(CREATE | {"container_id": 5}),
    json.dumps(CREATE | {"from": "a newer version"}),
    json.dumps({"kind": "create"}),
]


@pytest.mark.parametrize("body", POISON)
def test_a_command_that_cannot_be_read_is_soon_among_the_dead_letters_and_touches_nothing(body: str) -> None:
    world, redelivery = World(), Redelivery()

    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        queues.carry_out_commands(sqs(body), world.provisioning, redelivery, MemoryMetrics())

    assert redelivery.said == [0]
    assert world.events.sent == world.agents.created == []


@pytest.mark.parametrize("body", [*POISON, '{"v":9,"signer":"host-1","event":"{}","signature":"AAAA"}'])
def test_an_event_that_cannot_be_read_or_trusted_is_dropped_and_told_in_the_log(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()

    queues.record_events(sqs(body), world.status, Redelivery(), MemoryMetrics())

    assert "event refused" in caplog.text


def test_a_signed_event_of_a_newer_version_is_kept_among_the_dead_letters() -> None:
    world, redelivery = World(), Redelivery()
    container = placed(world)
    text = ready(container).model_dump_json().replace('"ready"', '"ready_v2"')

    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's
        queues.record_events(sqs(sealed_text(text)), world.status, redelivery, MemoryMetrics())

    assert redelivery.said == [0]
    assert again(world, container).status is Status.CREATING


@pytest.mark.parametrize("kind", [Create, Delete])
def test_a_command_for_what_nobody_knows_is_done_with(kind: type[Create | Delete]) -> None:
    world, redelivery = World(), Redelivery()

    queues.carry_out_commands(
        sqs(kind(container_id="c", user_id="u").model_dump_json()), world.provisioning, redelivery, MemoryMetrics()
    )

    assert redelivery.said == []


def test_an_unforeseen_fault_comes_again_sooner_than_a_creation_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    world, redelivery = World(), Redelivery()
    container = placed(world)
    monkeypatch.setattr(world.containers, "get", lambda *_: 1 / 0)
    body = seal(ready(container), "host-1", HOST_KEY)

    for count in range(1, 11):
        with pytest.raises(ZeroDivisionError):
            queues.record_events(sqs(body, count), world.status, redelivery, MemoryMetrics())

    assert redelivery.said == sorted(redelivery.said)
    assert len(redelivery.said) == 10
    assert sum(redelivery.said) < 180


def test_a_creation_whose_command_is_dead_is_driven_by_the_sweeper() -> None:
    world = World()
    container = accepted(world)
    world.commands.sent.clear()

    swept(world, 60)
    provision(world)

    assert again(world, container).host_id == "host-1"


def test_a_creation_whose_commands_all_die_ends_in_error_within_its_time() -> None:
    world = World()
    container = accepted(world)
    for _ in range(3):
        world.commands.sent.clear()
        swept(world, 60)
        told(world)

    now = again(world, container)
    assert now.status is Status.ERROR
    assert now.error is not None
    assert now.error.code is Code.NO_CAPACITY
    assert (world.clock.now() - NOW).total_seconds() <= 180


def test_a_creation_whose_events_all_die_ends_in_error_and_its_engine_container_is_removed() -> None:
    world = World()
    container = placed(world)
    for _ in range(3):
        swept(world, 60)
    told(world)
    assert again(world, container).error.code is Code.TIMEOUT  # type: ignore[union-attr]

    world.provisioning.carry_out(Settle(container_id=container.id, user_id=USER, host_id="host-1", generation=1), 1)

    assert [removal.container_id for _, removal in world.agents.deleted] == [container.id]


def test_a_deletion_whose_commands_die_is_driven_until_its_host_takes_it() -> None:
    world = World()
    container = running(world)
    world.lifecycle.delete(a_caller(), container.id)
    for _ in range(30):
        world.commands.sent.clear()
        swept(world, 121)

    provision(world)

    assert [removal.container_id for _, removal in world.agents.deleted] == [container.id]


def a_life(world: World) -> tuple[Container, list[Command], list[Event]]:
    """A container that was created, switched, resized, renamed and deleted, with every message that did it."""
    container = running(world, name="web")
    ids = {"container_id": container.id, "user_id": USER}
    commands: list[Command] = [Create(**ids)]
    for verb in (Verb.STOP, Verb.START, Verb.RESTART):
        world.lifecycle.power(a_caller(), container.id, verb)
    world.reconfiguration.change(a_caller(), container.id, Changes(name="db", memory_mb=1024))
    world.lifecycle.delete(a_caller(), container.id)
    commands += world.commands.messages
    assert {type(command) for command in commands} == {Create, Power, Resize, Rename, Delete}
    commands.append(Settle(**ids, host_id="host-1", generation=1))
    events: list[Event] = [
        Progress(**about(container, 2), stage=Stage.PULLING, progress=30, message="m"),
        Created(**about(container, 3), engine_id="e" * 64),
        Ready(**about(container, 4), engine_id="e" * 64, started_at=NOW),
        Stopped(**about(container, 5), cause=a_cause()),
        Started(**about(container, 6), started_at=NOW),
        Failed(**about(container, 7), cause=a_cause()),
        Removed(**about(container, 8), cause=a_cause()),
    ]
    world.from_host(events[-1])
    return again(world, container), commands, events


def test_what_is_redriven_after_the_end_does_nothing() -> None:
    world = World()
    container, commands, events = a_life(world)
    assert container.status is Status.DELETED
    successor = accepted(world, name="db")
    world.commands.sent.clear()
    world.events.sent.clear()
    before = dict(world.containers.records)
    doings = (world.agents.created, world.agents.powered, world.agents.resized)
    done = [len(each) for each in doings]

    for command in commands:
        queues.carry_out_commands(sqs(command.model_dump_json()), world.provisioning, Redelivery(), MemoryMetrics())
    for event in events:
        queues.record_events(sqs(seal(event, "host-1", HOST_KEY)), world.status, Redelivery(), MemoryMetrics())

    assert world.containers.records == before
    assert [len(each) for each in doings] == done
    assert world.events.sent == world.commands.sent == []
    assert world.hosts.get("host-1").reserved.containers == 0
    assert again(world, successor).name == "db"
    assert all(removal.container_id == container.id for _, removal in world.agents.deleted)


def test_what_is_redriven_of_an_older_generation_does_nothing() -> None:
    world = World(hosts=2)
    world.agents.refusing = {"host-1": "full"}
    container = placed(world)
    while again(world, container).generation == 1:
        world.lifecycle.delete(a_caller(), container.id)
        container = placed(world)
    old = container.model_copy(update={"generation": 1})
    before = dict(world.containers.records)
    settle = Settle(container_id=container.id, user_id=USER, host_id="host-2", generation=1)

    for event in (ready(old), Failed(**about(old, 2), cause=a_cause()), Removed(**about(old, 3), cause=a_cause())):
        queues.record_events(sqs(seal(event, "host-1", HOST_KEY)), world.status, Redelivery(), MemoryMetrics())
        queues.record_events(sqs(seal(event, "host-2", HOST_KEY)), world.status, Redelivery(), MemoryMetrics())
    queues.carry_out_commands(sqs(settle.model_dump_json()), world.provisioning, Redelivery(), MemoryMetrics())

    assert world.containers.records == before
    assert world.agents.deleted == []
