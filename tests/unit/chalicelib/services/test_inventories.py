"""M9 over fakes: what no live record wants on a host is removed, what one wants there is never touched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.agent_api import Held
from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Settle
from chalicelib.contract.events import Inventory, Removed, Stopped
from chalicelib.contract.statuses import Status
from chalicelib.domain.announcements import lost_running
from chalicelib.domain.errors import Busy, UntrustedEvent
from tests.builders import NOW, USER, a_caller, a_cause, a_container, a_report, about
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import again, placed, ready, running, told

LIVE_THERE = (Status.CREATING, Status.RUNNING, Status.STOPPED)


def held(container_id: str, generation: int = 1, *, step: str | None = "ready", user_id: str = USER) -> Held:
    return Held(
        container_id=container_id, user_id=user_id, generation=generation, running=True, age_seconds=600, step=step
    )


def tell(world: World, *containers: Held, host_id: str = "host-1", signer: str | None = None) -> None:
    world.from_host(Inventory(host_id=host_id, containers=list(containers)), signer or host_id)


def settle(world: World) -> int:
    """Have the provision function settle every doubt; how many there were."""
    doubts = [message for message in world.commands.messages if isinstance(message, Settle)]
    world.commands.sent.clear()
    for doubt in doubts:
        world.provisioning.carry_out(doubt, 1)
    return len(doubts)


def removed(world: World) -> list[tuple[str, str, int]]:
    return [(host, removal.container_id, removal.generation) for host, removal in world.agents.deleted]


@given(
    status=st.sampled_from(Status),
    at=st.sampled_from(["host-1", "host-2", None]),
    generation=st.integers(1, 4),
    found=st.integers(1, 4),
    known=st.booleans(),
    user_id=st.sampled_from([USER, ""]),
)
def test_every_orphan_is_removed_and_nothing_that_a_live_record_wants_there(
    status: Status, at: str | None, generation: int, found: int, known: bool, user_id: str
) -> None:
    """Also of one whose host cannot say whose it is, because it was made ahead and its journal is lost."""
    world = World(hosts=2)
    container = a_container(status=status, host_id=at, generation=generation, number=7)
    world.containers.records[USER, container.id] = container

    tell(world, held(container.id, found, step="ready" if known else None, user_id=user_id))
    settle(world)

    wanted_there = status in LIVE_THERE and at == "host-1"
    being_placed = status in LIVE_THERE and at is None and user_id != ""
    if wanted_there or being_placed:
        assert removed(world) == []
    else:
        assert removed(world) == [("host-1", container.id, found)]
    assert all(removal.user_id in (USER, user_id) for _, removal in world.agents.deleted)
    adopted = [(host, spec.generation, spec.number) for host, spec in world.agents.created]
    assert adopted == ([("host-1", found, 7)] if wanted_there and not known and generation == found else [])


def test_between_the_two_steps_the_record_is_looked_at_again() -> None:
    world = World()
    container = running(world)
    tell(world, held(container.id, step=None))
    world.lifecycle.delete(a_caller(), container.id)
    settle(world)
    assert removed(world) == [("host-1", container.id, 1)]
    assert world.agents.created[1:] == []

    other = running(world)
    world.commands.sent.append((Settle(container_id=other.id, user_id=USER, host_id="host-1", generation=1), 0))
    settle(world)
    assert len(removed(world)) == 1


@pytest.mark.parametrize(("container_id", "user_id"), [("unknown", USER), ("unknown", ""), ("", ""), ("x y/..", "?")])
def test_what_nobody_knows_is_removed(container_id: str, user_id: str) -> None:
    world = World()

    tell(world, held(container_id, user_id=user_id))

    assert settle(world) == 1
    assert removed(world) == [("host-1", container_id, 1)]


@pytest.mark.parametrize(("generation", "number"), [(2, 7), (1, 0)])
def test_a_host_that_has_to_remove_counts_on_from_what_is_recorded(generation: int, number: int) -> None:
    """Its journal may be lost; of lower generations nothing counts any more."""
    world = World()
    container = a_container(status=Status.DELETING, host_id="host-1", generation=2, number=7)
    world.containers.records[USER, container.id] = container
    tell(world, held(container.id, generation, step=None))

    settle(world)

    [(_, removal)] = world.agents.deleted
    assert (removal.generation, removal.number) == (generation, number)


def test_a_record_in_error_loses_its_engine_container_and_stays_in_error() -> None:
    world = World()
    container = placed(world)
    world.clock.advance(61)
    world.leases.run()
    told(world)
    world.hosts.heartbeat("host-1", a_report(), world.clock.now())
    world.from_host(ready(container))

    tell(world, held(container.id))
    settle(world)
    world.from_host(Removed(**about(container, 2), cause=a_cause()))

    assert removed(world) == [("host-1", container.id, 1)]
    assert again(world, container).status is Status.ERROR
    assert world.containers.live[USER] == 1


def test_a_host_tells_of_itself_alone() -> None:
    world = World(hosts=2)

    with pytest.raises(UntrustedEvent):
        tell(world, held("unknown"), host_id="host-1", signer="host-2")
    with pytest.raises(UntrustedEvent):
        world.from_control_plane(Inventory(host_id="host-1", containers=[held("unknown")]))

    assert world.commands.sent == []


def test_a_host_that_tells_often_is_answered_once_a_minute() -> None:
    world = World()

    def attempts() -> set[int]:
        return {attempt for _, attempt in world.commands.sent}

    for _ in range(5):
        tell(world, held("unknown"))
    assert len(attempts()) == 1
    world.clock.advance(60)
    tell(world, held("unknown"))
    assert len(attempts()) == 2


def test_an_inventory_that_cannot_be_answered_comes_again() -> None:
    world = World()
    world.commands.down = True

    with pytest.raises(Busy):
        tell(world, held("unknown"))


@pytest.mark.parametrize("fault", ["refusing", "unreachable", "not enrolled"])
def test_what_a_host_does_not_take_is_left_to_its_next_inventory(fault: str) -> None:
    world = World()
    if fault == "refusing":
        world.agents.refusing = {"host-1": "draining"}
    if fault == "unreachable":
        world.agents.unreachable = {"host-1"}
    host_id = "host-9" if fault == "not enrolled" else "host-1"
    doubt = Settle(container_id="unknown", user_id=USER, host_id=host_id, generation=1)

    world.provisioning.carry_out(doubt, 1)

    assert removed(world) == []


def test_an_adopted_container_gets_time_and_goes_on_with_its_numbers() -> None:
    world = World()
    container = running(world)
    world.clock.advance(3600)

    tell(world, held(container.id, step=None))
    settle(world)

    _, spec = world.agents.created[-1]
    assert (spec.number, spec.generation, spec.create_seconds) == (again(world, container).number, 1, 60)
    assert spec.expires_in_seconds == (container.expires_at - world.clock.now()).total_seconds()  # type: ignore[operator]
    assert container.created_at == NOW


def test_what_runs_but_was_lost_with_its_host_is_running_again() -> None:
    world = World()
    container = running(world)
    world.from_control_plane(lost_running(container, NOW))
    assert again(world, container).status is Status.STOPPED

    tell(world, held(container.id))

    assert again(world, container).status is Status.RUNNING


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (Code.HOST_LOST, {"running": False}),
        (Code.HOST_LOST, {"step": None}),
        (Code.HOST_LOST, {"generation": 2}),
        (Code.USER, {}),
        (Code.EXITED, {}),
    ],
)
def test_what_stopped_for_another_reason_or_does_not_run_stays_stopped(code: Code, changes: dict[str, Any]) -> None:
    world = World()
    container = running(world)
    world.from_control_plane(Stopped(**about(container), cause=a_cause(code)))

    tell(world, held(container.id).model_copy(update=changes))

    assert again(world, container).status is Status.STOPPED


def test_an_inventory_that_comes_late_does_not_revive_what_has_ended_since() -> None:
    world = World()
    container = running(world)
    world.from_control_plane(lost_running(container, NOW))
    world.from_host(Stopped(**about(container, 9), cause=a_cause(Code.EXITED)))

    tell(world, held(container.id))

    now = again(world, container)
    assert (now.status, now.number) == (Status.STOPPED, 9)
    assert now.stopped_because is not None
    assert now.stopped_because.code is Code.EXITED
