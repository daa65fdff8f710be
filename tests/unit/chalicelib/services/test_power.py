"""Starting, stopping and restarting over fakes: whatever is lost on the way, the wish is carried out or told of."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Power
from chalicelib.contract.events import Abandoned, Removed, Started, Stopped
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.errors import RetryLater
from chalicelib.services.sweep import MOST_ATTEMPTS
from tests.builders import NOW, USER, a_caller, a_cause, about
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import again, placed, provision, ready, running, subscribed, swept, told

NUMBERS = itertools.count(10)


def ask(world: World, container: Container, verb: Verb) -> dict[str, Any]:
    return world.lifecycle.power(a_caller(), container.id, verb)


def stopped(container: Container, code: Code = Code.USER) -> Stopped:
    return Stopped(**about(container, next(NUMBERS)), cause=a_cause(code))


def started(container: Container) -> Started:
    return Started(**about(container, next(NUMBERS)), started_at=NOW)


@pytest.mark.parametrize("lost", ["the send", "the message", "the call"])
def test_a_stop_that_is_lost_is_asked_for_again_until_it_is_confirmed(lost: str) -> None:
    world = World()
    container = running(world)
    world.commands.down = lost == "the send"
    assert ask(world, container, Verb.STOP)["status"] == "stopped"
    world.commands.down = False
    if lost == "the call":
        world.agents.unreachable = {"host-1"}
        with pytest.raises(RetryLater):
            provision(world)
        world.agents.unreachable = set()

    assert swept(world) == 1
    provision(world)
    [(_, call)] = world.agents.powered
    assert call.verb is Verb.STOP
    world.from_host(stopped(container))

    now = again(world, container)
    assert (now.status, now.wanted, now.pending_power, now.attempt) == (Status.STOPPED, Status.STOPPED, None, 0)
    assert now.due_at == container.expires_at
    assert swept(world) == 0


def test_a_start_and_a_restart_end_with_started() -> None:
    world = World()
    container = running(world)
    ask(world, container, Verb.RESTART)
    world.from_host(started(container))
    assert again(world, container).pending_power is not None
    world.from_host(stopped(container))
    assert again(world, container).wanted is Status.RUNNING
    world.from_host(started(container))
    assert again(world, container).pending_power is None

    world.from_host(stopped(container, Code.EXITED))
    assert again(world, container).wanted is Status.STOPPED
    ask(world, container, Verb.START)
    world.from_host(started(container))

    now = again(world, container)
    assert (now.status, now.wanted, now.pending_power) == (Status.RUNNING, Status.RUNNING, None)
    assert now.due_at == container.expires_at


def test_asked_again_a_stop_is_new_to_the_host_and_a_restart_is_not() -> None:
    world = World()
    stopping, restarting = running(world), running(world)
    ask(world, stopping, Verb.STOP)
    ask(world, restarting, Verb.RESTART)
    for _ in range(3):
        for command in world.commands.messages:
            world.provisioning.carry_out(command, 1)
        world.commands.sent.clear()
        swept(world, 121)

    actions = {verb: {call.action for _, call in world.agents.powered if call.verb is verb} for verb in Verb}
    assert (len(actions[Verb.STOP]), len(actions[Verb.RESTART])) == (3, 1)


def test_a_host_that_confirms_nothing_is_given_up_and_its_user_told() -> None:
    world = World()
    heard = subscribed(world)
    container = running(world)
    heard.clear()
    ask(world, container, Verb.STOP)
    sent = len(world.commands.sent)
    while not world.events.sent:
        swept(world)

    [event] = told(world)

    assert isinstance(event, Abandoned)
    assert len(world.commands.sent) - sent == MOST_ATTEMPTS
    assert (world.clock.now() - NOW).total_seconds() <= 15 * 60
    now = again(world, container)
    assert (now.status, now.wanted, now.pending_power) == (Status.RUNNING, Status.RUNNING, None)
    assert now.due_at == container.expires_at
    [frame] = heard
    assert (frame["type"], frame["container"]["status"]) == ("updated", "running")
    assert frame["container"]["error"]["code"] == "timeout"
    world.from_control_plane(event)
    assert again(world, container).seq == now.seq


def test_giving_up_is_said_again_until_it_is_recorded() -> None:
    world = World()
    container = running(world)
    ask(world, container, Verb.STOP)
    while not world.events.sent:
        swept(world)
    world.events.sent.clear()
    world.events.down = True
    swept(world, 121)
    world.events.down = False

    swept(world, 121)
    told(world)

    assert again(world, container).pending_power is None


def test_the_last_wish_counts() -> None:
    world = World()
    container = running(world)
    ask(world, container, Verb.STOP)
    [stop] = world.commands.messages
    ask(world, container, Verb.START)

    world.provisioning.carry_out(stop, 1)
    assert world.agents.powered == []
    provision(world)
    world.from_host(started(container))

    assert [call.verb for _, call in world.agents.powered] == [Verb.START]
    assert (again(world, container).wanted, again(world, container).pending_power) == (Status.RUNNING, None)


def test_what_is_so_or_about_to_be_is_not_asked_for_twice() -> None:
    world = World()
    container = running(world)

    ask(world, container, Verb.START)
    ask(world, container, Verb.STOP)
    ask(world, container, Verb.STOP)

    assert [command.verb for command in world.commands.messages] == [Verb.STOP]


def test_a_stop_that_a_lost_host_did_not_hear_is_carried_out_when_it_is_back() -> None:
    world = World()
    container = running(world)
    ask(world, container, Verb.STOP)
    world.clock.advance(61)
    world.leases.run()
    told(world)
    assert again(world, container).status is Status.STOPPED
    world.hosts.heartbeat("host-1", world.hosts.get("host-1").report, world.clock.now())  # type: ignore[arg-type]
    world.from_host(started(container))

    swept(world)
    provision(world)
    world.from_host(stopped(container))

    now = again(world, container)
    assert (now.status, now.wanted, now.pending_power) == (Status.STOPPED, Status.STOPPED, None)
    assert world.agents.powered[-1][1].verb is Verb.STOP


def test_an_expiry_is_not_put_off_by_what_is_pending() -> None:
    world = World()
    container = running(world)
    assert container.expires_at is not None
    world.clock.advance((container.expires_at - world.clock.now()).total_seconds() - 2)
    ask(world, container, Verb.STOP)

    assert again(world, container).due_at == container.expires_at
    assert swept(world, 3) == 1
    assert again(world, container).status is Status.DELETING
    assert again(world, container).pending_power is None


def test_an_old_power_command_does_nothing() -> None:
    world = World()
    container = running(world)
    ask(world, container, Verb.STOP)
    [old] = world.commands.messages
    world.from_host(stopped(container))
    world.provisioning.carry_out(old, 1)
    world.lifecycle.delete(a_caller(), container.id)
    world.provisioning.carry_out(old, 1)
    world.from_host(Removed(**about(container, next(NUMBERS)), cause=a_cause()))
    world.provisioning.carry_out(old, 1)

    assert world.agents.powered == []


@given(steps=st.lists(st.sampled_from([*Verb, "stopped", "started", "exited", "sweep", "carry out"]), max_size=25))
def test_in_the_end_it_is_as_its_user_wanted_it_last_or_its_user_was_told(steps: list[Any]) -> None:
    world = World()
    container = running(world)
    for step in steps:
        if isinstance(step, Verb):
            ask(world, container, step)
        elif step == "sweep":
            swept(world)
        elif step == "carry out" and world.commands.sent:
            provision(world)
        elif step in ("stopped", "exited"):
            world.from_host(stopped(container, Code.USER if step == "stopped" else Code.EXITED))
        elif step == "started":
            world.from_host(started(container))
    for _ in range(3 * MOST_ATTEMPTS):
        swept(world, 121)
        told(world)

    now = again(world, container)
    assert now.pending_power is None
    assert now.wanted is now.status
    assert now.due_at == container.expires_at


def test_a_power_action_leaves_a_new_container_alone() -> None:
    world = World()
    container = placed(world)
    world.provisioning.carry_out(Power(container_id=container.id, user_id=USER, verb=Verb.STOP, action="a"), 1)
    world.from_host(ready(container))

    assert world.agents.powered == []
    assert again(world, container).wanted is Status.RUNNING


def test_a_host_whose_engine_failed_has_answered_whatever_was_asked_for() -> None:
    world = World()
    heard = subscribed(world)
    restarting, starting = running(world), running(world)
    world.from_host(stopped(starting))
    ask(world, restarting, Verb.RESTART)
    ask(world, starting, Verb.START)
    heard.clear()

    world.from_host(stopped(restarting, Code.ENGINE_ERROR))
    world.from_host(stopped(starting, Code.ENGINE_ERROR))

    for container in (restarting, starting):
        now = again(world, container)
        assert (now.status, now.wanted, now.pending_power) == (Status.STOPPED, Status.STOPPED, None)
    assert [frame["type"] for frame in heard] == ["stopped", "updated"]
    assert heard[1]["container"]["error"]["code"] == "engine_error"
    assert swept(world) == 0
