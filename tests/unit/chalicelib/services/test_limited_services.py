"""Services at their limits: pulls of one user, frames of one connection."""

import pytest

from chalicelib.contract.causes import Code
from chalicelib.contract.events import Failed
from chalicelib.domain.container import Container
from chalicelib.domain.errors import RetryLater
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from tests.builders import USER, a_caller, a_connection, a_report
from tests.fakes.world import World


def asked(world: World, image: str, custom_image: str | None = None) -> str:
    """The id of a small container, as the API leaves it."""
    request = ContainerRequest(image=choose_image(image, custom_image), memory_mb=256, cpu_shares=250, disk_mb=1024)
    return str(world.lifecycle.create(a_caller(tier="enterprise"), request, None).body["id"])


def placed(world: World, image: str, custom_image: str | None = None) -> Container:
    container_id = asked(world, image, custom_image)
    world.provisioning.carry_out(world.commands.messages[-1], 1)
    return world.containers.get(USER, container_id)


def test_the_sixth_pull_of_an_hour_ends_in_error_and_says_when_to_come_back() -> None:
    world = World()
    for number in range(5):
        assert placed(world, "custom", f"nginx:{number}").host_id == "host-1"

    container = placed(world, "custom", "nginx:6")

    failed = world.events.messages[-1]
    assert isinstance(failed, Failed)
    assert failed.container_id == container.id
    assert failed.cause.code is Code.IMAGE_DENIED
    assert "in 60 minutes" in failed.cause.message
    assert container.host_id is None
    assert len(world.agents.created) == 5


def test_images_that_the_host_has_or_we_offer_are_no_pulls() -> None:
    world = World()
    world.hosts.heartbeat("host-1", a_report(images=["redis:7", "nginx:latest"]), world.clock.now())

    placed(world, "custom", "redis:7")
    placed(world, "custom", "nginx")
    placed(world, "debian")

    assert len(world.agents.created) == 3
    assert world.rate_store.members == {}


def test_a_pull_that_is_tried_again_is_counted_once() -> None:
    world = World()
    world.agents.refusing["host-1"] = "full"
    container_id = asked(world, "custom", "ghcr.io/a/b:1")

    for _ in range(6):
        with pytest.raises(RetryLater):
            world.provisioning.carry_out(world.commands.messages[-1], 1)

    assert list(world.rate_store.members.values()) == [{container_id}]


def test_a_connection_that_sends_too_many_frames_is_told_and_at_last_closed() -> None:
    world = World()
    connection = a_connection()
    world.connections.add(connection, 10)

    for _ in range(54):
        world.subscriptions.receive(connection.id, '{"type":"ping"}')

    heard = world.sockets.heard[connection.id]
    assert [frame["type"] for frame in heard] == ["pong"] * 50 + ["error"] * 4
    assert heard[-1] == {"type": "error", "error": "too many frames a second", "code": "rate_limited"}

    world.clock.advance(1)
    world.subscriptions.receive(connection.id, '{"type":"ping"}')
    assert world.sockets.heard[connection.id][-1] == {"type": "pong"}
    assert world.connections.get(connection.id, world.clock.now()).strikes == 0

    for _ in range(54):
        world.subscriptions.receive(connection.id, '{"type":"ping"}')
    assert world.sockets.closed == [connection.id]
