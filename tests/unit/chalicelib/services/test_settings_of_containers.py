"""Renaming and resizing over fakes: record, names and room change together, hosts are asked until they confirm."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Rename, Resize
from chalicelib.contract.events import Abandoned, Resized
from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Status
from chalicelib.domain.changes import Changes
from chalicelib.domain.container import Container
from chalicelib.domain.errors import NameTaken, NoRoom, StatusConflict
from chalicelib.services.sweep import MOST_ATTEMPTS
from tests.builders import a_caller, a_cause, a_report, about
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import accepted, again, placed, ready, running, subscribed, swept, told

NUMBERS = itertools.count(10)


def change(world: World, container: Container, **changes: Any) -> dict[str, Any]:
    return world.reconfiguration.change(a_caller(), container.id, Changes(**changes))


def carry_out(world: World) -> None:
    """Have all commands carried out and what comes of it recorded."""
    for command in world.commands.messages:
        world.provisioning.carry_out(command, 1)
    world.commands.sent.clear()
    told(world)


def confirm(world: World, container: Container, **instead: int) -> None:
    """The host answers the last resize, perhaps with other amounts."""
    _, call = world.agents.resized[-1]
    resources = call.resources.model_copy(update=instead)
    cause = a_cause(Code.ENGINE_ERROR) if instead else None
    world.from_host(Resized(**about(container, next(NUMBERS)), action=call.action, resources=resources, cause=cause))


def held(world: World) -> int:
    return world.hosts.get("host-1").reserved.memory_mb


def test_a_resize_is_granted_at_once_and_told_when_the_host_confirms() -> None:
    world = World()
    heard = subscribed(world)
    container = running(world)
    heard.clear()

    answer = change(world, container, memory_mb=1024, cpu_shares=99_999)

    assert (answer["restarted"], answer["container"]["resources"]["memory_mb"]) == (False, 1024)
    assert answer["adjusted"] == {"cpu_shares": {"requested": 99_999, "granted": 4000}}
    assert held(world) == 1024
    carry_out(world)
    assert heard == []
    confirm(world, container)
    now = again(world, container)
    assert (now.resources.memory_mb, now.pending_resize, now.due_at) == (1024, None, container.expires_at)
    [frame] = heard
    assert frame["type"] == "updated"
    assert frame["container"] == {
        "id": container.id, "db_id": container.id, "status": "running", "resources": now.resources.model_dump(),
    }  # fmt: skip
    assert swept(world) == 0


def test_a_rename_needs_no_host_and_is_told() -> None:
    world = World()
    heard = subscribed(world)
    container = accepted(world, name="old")

    answer = change(world, container, name="new")
    carry_out(world)

    assert answer["container"]["name"] == "new"
    assert heard[-1]["container"] == {
        "id": container.id, "db_id": container.id, "status": "creating", "name": "new"
    }  # fmt: skip
    assert again(world, container).pending_rename is None
    assert again(world, container).due_at == container.due_at
    accepted(world, name="old")
    with pytest.raises(NameTaken):
        change(world, container, name="old")


def test_two_renames_in_a_row_are_both_told_and_each_once() -> None:
    world = World()
    heard = subscribed(world)
    container = accepted(world, name="a")
    change(world, container, name="b")
    [first] = [command for command in world.commands.messages if isinstance(command, Rename)]
    carry_out(world)
    change(world, container, name="c")
    carry_out(world)
    world.provisioning.carry_out(first, 1)
    told(world)

    assert [frame["container"].get("name") for frame in heard if frame["type"] == "updated"] == ["b", "c"]


def test_what_is_so_already_changes_nothing() -> None:
    world = World()
    container = running(world, name="web", memory_mb=512)

    answer = change(world, container, name="web", memory_mb=512)

    assert world.commands.sent == []
    assert again(world, container) == container
    assert "so already" in answer["message"]


@pytest.mark.parametrize("status", [Status.CREATING, Status.ERROR])
def test_amounts_wait_until_it_runs_or_is_stopped(status: Status) -> None:
    world = World()
    container = placed(world)
    world.containers.records[container.user_id, container.id] = container.model_copy(update={"status": status})

    with pytest.raises(StatusConflict):
        change(world, container, memory_mb=1024)
    change(world, container, name="other")

    assert again(world, container).due_at == container.due_at


def test_without_room_nothing_changes_and_with_less_there_is_room() -> None:
    world = World()
    container = running(world, memory_mb=512)
    world.hosts.heartbeat("host-1", a_report(memory_mb=600), world.clock.now())

    with pytest.raises(NoRoom):
        change(world, container, memory_mb=1024, name="bigger")
    assert again(world, container) == container
    assert held(world) == 512
    change(world, container, memory_mb=256, name="bigger")

    assert held(world) == 256
    assert again(world, container).name == "bigger"


def test_a_host_that_grants_other_amounts_is_followed_and_its_user_told() -> None:
    world = World()
    heard = subscribed(world)
    container = running(world)
    change(world, container, memory_mb=1024)
    carry_out(world)

    confirm(world, container, memory_mb=700)

    assert again(world, container).resources.memory_mb == 700
    assert held(world) == 700
    assert heard[-1]["container"]["resources"]["memory_mb"] == 700
    assert heard[-1]["container"]["error"]["code"] == "engine_error"


def test_a_resize_that_is_lost_is_asked_for_again_as_new() -> None:
    world = World()
    container = running(world)
    world.commands.down = True
    change(world, container, memory_mb=1024)
    world.commands.down = False
    for _ in range(2):
        swept(world, 121)
        carry_out(world)

    actions = [call.action for _, call in world.agents.resized]
    assert len(set(actions)) == 2
    confirm(world, container)

    assert again(world, container).pending_resize is None
    assert swept(world, 300) == 0


def test_a_resize_that_is_never_confirmed_is_undone_and_told_and_followed_if_done_late() -> None:
    world = World()
    heard = subscribed(world)
    container = running(world)
    change(world, container, memory_mb=1024)
    carry_out(world)
    while not any(isinstance(event, Abandoned) for event in world.events.messages):
        swept(world)
        world.commands.sent.clear()
    told(world)

    now = again(world, container)
    assert (now.resources, now.pending_resize, held(world)) == (
        container.resources,
        None,
        container.resources.memory_mb,
    )
    assert heard[-1]["container"]["error"]["code"] == "timeout"
    confirm(world, container)
    assert again(world, container).resources.memory_mb == held(world) == 1024


def test_of_two_resizes_the_last_counts_and_undoing_goes_back_to_what_the_host_has() -> None:
    world = World()
    container = running(world)
    change(world, container, memory_mb=1024)
    carry_out(world)
    change(world, container, memory_mb=2048)
    confirm(world, container)
    assert again(world, container).resources.memory_mb == 2048
    pending = again(world, container).pending_resize
    assert pending is not None
    assert pending.before == container.resources

    carry_out(world)
    confirm(world, container)

    assert again(world, container).resources.memory_mb == held(world) == 2048


def test_an_old_resize_or_rename_does_nothing() -> None:
    world = World()
    container = running(world)
    change(world, container, memory_mb=1024, name="other")
    old = [command for command in world.commands.messages if isinstance(command, Resize | Rename)]
    assert len(old) == 2
    carry_out(world)
    confirm(world, container)
    before = len(world.agents.resized)
    world.lifecycle.delete(a_caller(), container.id)
    for command in old:
        world.provisioning.carry_out(command, 1)
    told(world)

    assert len(world.agents.resized) == before
    assert again(world, container).status is Status.DELETING


def test_a_name_is_told_though_its_container_becomes_ready_meanwhile() -> None:
    world = World()
    heard = subscribed(world)
    container = placed(world)
    world.commands.down = True
    change(world, container, name="other")
    world.commands.down = False
    world.from_host(ready(container))
    for _ in range(2):
        swept(world, 121)
        carry_out(world)

    assert [frame["container"]["name"] for frame in heard if "name" in frame["container"]][-1] == "other"
    assert again(world, container).due_at == container.expires_at


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["change", "carry out", "confirm", "confirm otherwise", "sweep"]), st.integers(300, 4000)
        ),
        max_size=20,
    )
)
def test_room_held_and_names_kept_are_those_of_the_record_whatever_happens(steps: list[tuple[str, int]]) -> None:
    world = World()
    container = running(world)
    for step, amount in steps:
        if step == "change":
            change(world, container, memory_mb=amount, name=f"n{amount % 7}")
        elif step == "carry out":
            carry_out(world)
        elif step == "sweep":
            swept(world, 61)
        elif world.agents.resized:
            confirm(world, container, **({} if step == "confirm" else {"memory_mb": amount}))
        now = again(world, container)
        assert held(world) == now.resources.memory_mb
        assert world.containers.names == {(now.user_id, now.name): now.id}
    for _ in range(3 * MOST_ATTEMPTS):
        swept(world, 121)
        carry_out(world)

    now = again(world, container)
    assert not now.pending
    assert held(world) == now.resources.memory_mb
    assert isinstance(now.resources, Resources)
