"""Every end over fakes: it has a cause of the closed list, readable while the container exists and a day beyond."""

import itertools
from datetime import timedelta

import pytest

from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.commands import Delete, Settle
from chalicelib.contract.events import Failed, Inventory, Removed, Stopped
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.errors import LimitReached, NameTaken, NotFound
from tests.builders import USER, a_caller, a_report, about
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import accepted, again, placed, running, subscribed, swept, told
from tests.unit.chalicelib.services.test_inventories import held

NUMBERS = itertools.count(20)


def cause(code: Code, actor: Actor = Actor.SYSTEM, exit_code: int | None = None) -> Cause:
    return Cause(code=code, actor=actor, message=f"because of {code.value}", exit_code=exit_code)


def item(world: World, container: Container) -> dict[str, object]:
    return world.lifecycle.get(a_caller(), container.id)


def last_frame(world: World, container: Container) -> dict[str, object]:
    """The last frame that `GET …/events` gives."""
    return dict(world.lifecycle.events(a_caller(), container.id, 0)["events"][-1])


@pytest.mark.parametrize("code", Code)
def test_a_creation_that_failed_says_why_on_the_item_and_in_the_log(code: Code) -> None:
    world = World()
    container = placed(world)
    why = cause(code)

    world.from_host(Failed(**about(container, 1), cause=why))

    told_as = {"code": code.value, "actor": "system", "message": f"because of {code.value}"}
    assert item(world, container)["error"] == told_as
    assert last_frame(world, container)["container"]["error"] == told_as  # type: ignore[index]


@pytest.mark.parametrize("code", Code)
def test_a_container_that_stopped_says_why_on_the_item_and_in_the_log(code: Code) -> None:
    world = World()
    container = running(world)
    why = cause(code, Actor.CONTAINER, exit_code=7 if code is Code.EXITED else None)

    world.from_host(Stopped(**about(container, next(NUMBERS)), cause=why))

    shown = item(world, container)
    frame = last_frame(world, container)
    assert shown["stopped_because"] == why.model_dump(mode="json", exclude_none=True)
    assert (frame["type"], frame["container"]["reason"]) == ("stopped", code.value)  # type: ignore[index]
    assert frame["container"]["stopped_because"] == shown["stopped_because"]  # type: ignore[index]
    if code is Code.EXITED:
        assert shown["stopped_because"]["exit_code"] == 7  # type: ignore[index]


@pytest.mark.parametrize("code", Code)
def test_a_container_that_its_host_removed_says_why_in_the_log_a_day_beyond(code: Code) -> None:
    world = World()
    container = running(world)

    world.from_host(Removed(**about(container, next(NUMBERS)), cause=cause(code)))

    with pytest.raises(NotFound):
        item(world, container)
    world.clock.advance(23 * 3600)
    frame = last_frame(world, container)
    assert (frame["type"], frame["container"]["reason"]) == ("deleted", code.value)  # type: ignore[index]
    assert frame["container"]["cause"]["actor"] == "system"  # type: ignore[index]


def end_of(world: World, container: Container) -> dict[str, object]:
    """Have the deletion carried out; the cause in its last frame. What the host says is not what counts."""
    world.from_host(Removed(**about(container, next(NUMBERS)), cause=cause(Code.ENGINE_ERROR)))
    return dict(last_frame(world, container)["container"]["cause"])  # type: ignore[index]


def test_who_began_a_deletion_is_its_cause_whatever_its_host_says() -> None:
    world = World()
    by_user, expired, failed = running(world), running(world), placed(world)
    world.from_host(Failed(**about(failed, next(NUMBERS)), cause=cause(Code.DISK_FULL)))
    world.lifecycle.delete(a_caller(), by_user.id)
    assert expired.expires_at is not None
    swept(world, (expired.expires_at - world.clock.now()).total_seconds() + 1)

    ends = [end_of(world, each) for each in (by_user, expired, failed)]

    assert [(end["code"], end["actor"]) for end in ends] == [
        ("user", "user"),
        ("expired", "system"),
        ("disk_full", "system"),
    ]


def test_a_deletion_on_a_lost_host_ends_without_it_and_gives_room_back_once() -> None:
    world = World(hosts=1)
    heard = subscribed(world)
    container = running(world)
    world.lifecycle.delete(a_caller(), container.id)
    world.clock.advance(61)

    assert world.leases.run() == 1
    told(world)
    assert again(world, container).status is Status.DELETED
    assert (heard[-1]["type"], heard[-1]["container"]["reason"]) == ("deleted", "user")
    assert world.hosts.get("host-1").reserved.containers == 0
    assert world.leases.run() == 0

    world.hosts.heartbeat("host-1", a_report(), world.clock.now())
    world.commands.sent.clear()
    world.from_host(Inventory(host_id="host-1", containers=[held(container.id)]))
    [settle] = world.commands.messages
    assert isinstance(settle, Settle)
    world.provisioning.carry_out(settle, 1)
    world.from_host(Removed(**about(container, next(NUMBERS)), cause=cause(Code.USER)))

    assert [removal.container_id for _, removal in world.agents.deleted] == [container.id]
    assert world.hosts.get("host-1").reserved.containers == 0


def test_the_brake_holds_while_all_hosts_are_silent_and_recovery_goes_on_after_it() -> None:
    world = World(hosts=100)
    containers = [running(world, name=f"n{number}") for number in range(5)]
    world.clock.advance(61)
    for _ in range(3):
        assert world.leases.run() == 0
        world.clock.advance(10)
    assert world.events.sent == []

    lost = str(containers[0].host_id)
    for number in range(1, 101):
        if f"host-{number}" != lost:
            world.hosts.heartbeat(f"host-{number}", a_report(), world.clock.now())
    gone = [each for each in containers if each.host_id == lost]

    assert world.leases.run() == len(gone) > 0
    told(world)
    assert {again(world, each).status for each in gone} == {Status.STOPPED}
    assert {again(world, each).status for each in containers if each not in gone} <= {Status.RUNNING}


def test_one_in_error_counts_and_holds_its_name_for_fifteen_minutes() -> None:
    world = World()
    container = placed(world, name="web")
    world.from_host(Failed(**about(container, next(NUMBERS)), cause=cause(Code.IMAGE_NOT_FOUND)))
    with pytest.raises(NameTaken):
        accepted(world, name="web")
    others = [accepted(world) for _ in range(4)]
    with pytest.raises(LimitReached):
        accepted(world)
    for other in others:
        world.lifecycle.delete(a_caller(), other.id)
    world.commands.sent.clear()

    swept(world, 14 * 60)
    assert again(world, container).status is Status.ERROR
    swept(world, 61)

    assert again(world, container).status is Status.DELETING
    assert Delete(container_id=container.id, user_id=USER) in world.commands.messages
    assert accepted(world, name="web").name == "web"
    assert again(world, container).due_at <= world.clock.now() + timedelta(seconds=1)  # type: ignore[operator]
