"""The sweeper beside others of its kind, on an index that lags, and past a record that cannot be read (FM 59 to 61)."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.commands import Command
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.services.sweep import PAGE, RUN_SECONDS
from tests.builders import a_caller
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import accepted, again, placed, provision, ready, running, swept


def everything_due(world: World) -> list[Container]:
    """One record of each kind that the sweeper acts on."""
    waiting, stopping, deleting, expired = accepted(world), running(world), running(world), running(world)
    world.lifecycle.power(a_caller(), stopping.id, Verb.STOP)
    world.lifecycle.delete(a_caller(), deleting.id)
    soon = expired.model_copy(update={"expires_at": world.clock.now(), "due_at": world.clock.now()})
    world.containers.records[soon.user_id, soon.id] = soon
    world.commands.sent.clear()
    return [waiting, stopping, deleting, expired]


class Interrupted:
    """The store as the first sweeper sees it: after its n-th read, and before it acts on it, others run."""

    def __init__(self, world: World, reads: int) -> None:
        self._world, self._reads = world, reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.containers, name)

    def get(self, user_id: str, container_id: str) -> Container:
        found = self._world.containers.get(user_id, container_id)
        if self._reads == 0:
            for _ in range(3):
                self._world.sweep.run()
        self._reads -= 1
        return found


@pytest.mark.parametrize("reads", range(4))
def test_four_sweepers_at_once_do_no_more_than_one(reads: int) -> None:
    """Each of the others runs whole between a read of the first and its write, at every record in turn."""
    world = World()
    everything_due(world)
    world.clock.advance(60)

    replace(world.sweep, containers=Interrupted(world, reads)).run()

    sent: list[tuple[Command, int]] = world.commands.sent
    asked = {(command.kind, command.container_id) for command, _ in sent}
    assert sorted(kind for kind, _ in asked) == ["create", "delete", "delete", "power"]
    assert len({(command.kind, command.container_id, attempt) for command, attempt in sent}) == len(sent)
    assert len(sent) <= len(asked) + 1
    assert world.containers.live["user-1"] == 2


def test_an_index_that_lags_by_a_minute_causes_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    due = everything_due(world)
    old = list(world.containers.records.values())
    world.clock.advance(60)
    world.sweep.run()
    world.sweep.run()
    for command in world.commands.messages:
        world.provisioning.carry_out(command, 1)
    world.from_host(ready(again(world, due[0]), 1))
    before = dict(world.containers.records)
    world.commands.sent.clear()
    monkeypatch.setattr(world.containers, "due", lambda *_: old)

    assert world.sweep.run() == 0

    assert world.containers.records == before
    assert world.commands.sent == []


def test_a_record_that_cannot_be_dealt_with_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    broken, well = accepted(world), accepted(world)
    world.commands.sent.clear()
    real = world.containers.get

    def get(user_id: str, container_id: str) -> Any:
        return 1 / 0 if container_id == broken.id else real(user_id, container_id)

    monkeypatch.setattr(world.containers, "get", get)

    assert swept(world) == 1
    assert [command.container_id for command in world.commands.messages] == [well.id]


def test_a_sweep_that_dies_midway_is_finished_by_the_next() -> None:
    world = World()
    containers = [accepted(world) for _ in range(3)]
    world.commands.sent.clear()
    send, left = world.commands.send, [1]

    def die(message: Command, attempt: int = 0) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        send(message, attempt)

    world.commands.send = die  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        swept(world)
    world.commands.send = send  # type: ignore[method-assign]
    for _ in range(2):
        swept(world, 20)

    assert {command.container_id for command in world.commands.messages} == {each.id for each in containers}


@pytest.mark.parametrize("width", [1, 8])
def test_all_that_is_due_is_dealt_with_in_one_run_however_much_it_is(width: int) -> None:
    """As after an hour without a queue: with a hundred a minute, most would end long after their deadline (I1)."""
    world = World()
    containers = many(world, 3 * PAGE + 50)

    assert replace(world.sweep, width=width).run() == len(containers)
    assert len(world.commands.messages) == len(containers)
    assert {command.container_id for command in world.commands.messages} == {each.id for each in containers}


def test_a_run_has_an_end_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    containers = many(world, 4 * PAGE)
    real = world.containers.due

    def due(before: datetime, limit: int) -> list[Container]:
        world.clock.advance(RUN_SECONDS * 0.6)
        return real(before, limit)

    monkeypatch.setattr(world.containers, "due", due)

    assert world.sweep.run() == 2 * PAGE
    assert world.sweep.run() == 2 * PAGE
    assert {command.container_id for command in world.commands.messages} == {each.id for each in containers}


def many(world: World, count: int) -> list[Container]:
    """Creations whose command is lost, all due."""
    first = accepted(world)
    containers = [first.model_copy(update={"id": f"{number:05}", "name": f"n{number}"}) for number in range(count)]
    del world.containers.records[first.user_id, first.id]
    for each in containers:
        world.containers.records[each.user_id, each.id] = each
    world.commands.sent.clear()
    world.clock.advance(30)
    return containers


def test_a_placed_creation_is_asked_of_its_host_again() -> None:
    world = World(hosts=2)
    container = placed(world)
    swept(world)
    provision(world)

    assert {host for host, _ in world.agents.created} == {container.host_id}
    assert again(world, container).status is Status.CREATING
