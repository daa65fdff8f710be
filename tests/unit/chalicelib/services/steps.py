"""Steps that tests of services share: a world comes in, a container or connection that has come so far goes out."""

from typing import Any

from chalicelib.contract.events import Event, Ready
from chalicelib.domain.container import Container
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from tests.builders import NOW, USER, a_caller, a_connection, about
from tests.fakes.world import World


def accepted(world: World, **fields: Any) -> Container:
    """A container as the API leaves it."""
    request = ContainerRequest(image=choose_image("debian", None), **fields)
    answer = world.lifecycle.create(a_caller(), request, None)
    return world.containers.get(USER, answer.body["id"])


def again(world: World, container: Container) -> Container:
    return world.containers.get(USER, container.id)


def provision(world: World, attempt: int = 1) -> None:
    """Carry out the last command."""
    world.provisioning.carry_out(world.commands.messages[-1], attempt)


def placed(world: World, **fields: Any) -> Container:
    container = accepted(world, **fields)
    provision(world)
    return again(world, container)


def ready(container: Container, number: int = 1) -> Ready:
    return Ready(**about(container, number), engine_id="e" * 64, started_at=NOW)


def running(world: World, **fields: Any) -> Container:
    """A container that its host has said is ready."""
    container = placed(world, **fields)
    world.from_host(ready(container), str(container.host_id))
    world.commands.sent.clear()
    world.events.sent.clear()
    return again(world, container)


def told(world: World) -> list[Event]:
    """Have everything recorded that the control plane said since the last time; what that was."""
    said = [message for message, _ in world.events.sent]
    world.events.sent.clear()
    for event in said:
        world.from_control_plane(event)
    return said


def swept(world: World, seconds: float = 60) -> int:
    """Let time pass and the sweeper look."""
    world.clock.advance(seconds)
    return world.sweep.run()


def subscribed(world: World, connection_id: str = "con-1", user_id: str = USER) -> list[dict[str, Any]]:
    """A connection whose list is out; what it hears from then on."""
    world.connections.add(a_connection(connection_id, user_id=user_id), 10)
    world.subscriptions.welcome(user_id, connection_id)
    heard = world.sockets.heard[connection_id]
    heard.clear()
    return heard
