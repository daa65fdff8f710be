"""The first frame of a connection that cannot be written to at once."""

import pytest

from chalicelib.domain.errors import RetryLater
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from tests.builders import a_caller
from tests.fakes.world import World


def test_a_list_that_was_throttled_comes_again_soon_and_once() -> None:
    world = World()
    world.subscriptions.open(a_caller(), "c-1")
    world.sockets.stuck.add("c-1")

    with pytest.raises(RetryLater) as again:
        world.from_control_plane(world.events.messages[0])
    world.sockets.stuck.clear()
    world.from_control_plane(world.events.messages[0])
    world.from_control_plane(world.events.messages[0])

    assert again.value.seconds == 1
    assert [frame["type"] for frame in world.sockets.heard["c-1"]] == ["list"]


def test_frames_missed_while_the_list_was_written_are_left_to_the_gap_when_throttled() -> None:
    world = World()
    world.subscriptions.open(a_caller(), "c-1")
    written: list[str] = []

    def first_only(connection_id: str) -> None:
        if written:
            world.sockets.stuck.add(connection_id)
        else:
            world.lifecycle.create(a_caller(), ContainerRequest(image=choose_image("debian", None)), None)
            created = world.commands.messages[-1]
            world.provisioning.carry_out(created, 1)
            world.from_control_plane(world.events.messages[-1])
        written.append(connection_id)

    world.sockets.on_send = first_only
    world.from_control_plane(world.events.messages[0])

    assert [frame["type"] for frame in world.sockets.heard["c-1"]] == ["list"]
    assert world.connections.rows["c-1"].listed
