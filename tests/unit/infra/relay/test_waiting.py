"""Clients that come before their container runs."""

from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from infra.relay.waiting import HELD_BYTES
from tests.unit.infra.relay.conftest import TOKEN, Running, closed, echo, told, until


@pytest.fixture
def relay(relay: Running) -> Running:
    relay.api.status = "creating"
    return relay


def test_what_is_typed_before_it_runs_reaches_the_shell_in_order(relay: Running) -> None:
    with relay.connect("box", "?cols=90") as socket:
        assert [told(socket)["type"], told(socket)["data"]] == ["connected", "creating"]
        for frame in ("one", b"two", "three"):
            socket.send(frame)
        until(lambda: relay.api.asked)
        relay.api.status = "running"

        assert told(socket) == {"type": "container_status", "data": "running"}
        assert [socket.recv(timeout=5) for _ in range(3)] == ["one", b"two", "three"]
        socket.send("four")
        assert socket.recv(timeout=5) == "four"
    assert relay.agent.asked[0][0].endswith("/terminal?cols=90")


def test_the_version_is_echoed_before_it_runs(relay: Running) -> None:
    offered: Any = ["rexec.v1", f"rexec.token.{TOKEN}"]

    with relay.connect(additional_headers={}, subprotocols=offered) as socket:
        assert socket.subprotocol == "rexec.v1"


def test_raw_clients_hear_nothing_until_the_shell_prints(relay: Running) -> None:
    relay.agent.shell = lambda line: (line.send("$ "), echo(line))[1]

    with relay.connect(query="?raw=1") as socket:
        relay.api.status = "running"

        assert socket.recv(timeout=5) == "$ "


@pytest.mark.parametrize("scopes", [("exec",)])
def test_a_token_that_may_not_read_waits_as_well(relay: Running, scopes: tuple[str, ...]) -> None:
    relay.api.scopes = scopes

    with relay.connect() as socket:
        until(lambda: relay.api.asked > 2)
        relay.api.status = "running"

        assert [told(socket)["data"] for _ in range(3)][-1] == "running"


def test_an_api_that_falters_is_asked_again(relay: Running) -> None:
    with relay.connect() as socket:
        relay.api.access = 503
        until(lambda: relay.api.asked > 2)
        relay.api.access, relay.api.status = 200, "running"

        assert [told(socket)["data"] for _ in range(3)][-1] == "running"


@pytest.mark.parametrize("frames", [[b"x" * (HELD_BYTES + 1)], [""] * 1025, ["ü" * 30_000, "ü" * 3_000]])
def test_who_types_more_than_is_kept_is_put_out(relay: Running, frames: list[str | bytes]) -> None:
    with relay.connect() as socket:
        for frame in frames:
            socket.send(frame)

        assert closed(socket)[0] == 1009


def test_a_creation_that_fails_is_told_with_its_reason(relay: Running) -> None:
    relay.api.error = {"code": "image_not_found", "message": "no such image"}

    with relay.connect() as socket:
        told(socket)
        told(socket)
        relay.api.status = "error"

        assert told(socket) == {"type": "container_status", "data": "error"}
        assert told(socket) == {"type": "error", "data": "no such image"}
        assert closed(socket) == (1011, "no such image")


def test_a_container_that_is_deleted_meanwhile_is_told(relay: Running) -> None:
    with relay.connect() as socket:
        told(socket)
        told(socket)
        relay.api.access = 404

        assert told(socket) == {"type": "error", "data": "no"}
        assert closed(socket)[0] == 1011


def test_who_has_no_access_any_more_waits_no_longer(relay: Running) -> None:
    with relay.connect() as socket:
        told(socket)
        relay.api.access = 401

        assert closed(socket) == (4003, "access has ended")


def test_a_host_that_takes_nobody_then_is_told_by_a_frame(relay: Running) -> None:
    relay.agent.status = 503

    with relay.connect() as socket:
        relay.api.status = "running"

        assert [told(socket)["type"] for _ in range(3)][-1] == "error"
        assert closed(socket)[0] == 1013


def test_nobody_waits_for_ever(relay: Running) -> None:
    with relay.connect() as socket:
        assert closed(socket) == (1013, "the container took too long")


@pytest.mark.parametrize("limits", [{"of_one": 1}])
def test_who_waits_has_a_seat_and_gives_it_back_when_leaving(relay: Running) -> None:
    with relay.connect() as socket:
        told(socket)
        assert relay.refusal()[0] == 429
    until(lambda: not relay.server.server_state.tasks)
    with relay.connect() as socket:
        assert told(socket)["type"] == "connected"
        relay.api.status = "running"
        assert [told(socket)["data"] for _ in range(2)] == ["creating", "running"]


def test_a_relay_that_stops_puts_out_who_waits(relay: Running) -> None:
    with relay.on_its_own() as alone, alone.connect() as socket:
        told(socket)
        alone.server.should_exit = True

        assert closed(socket)[0] == 1012


def test_a_shell_that_prints_before_it_reads_is_no_deadlock(relay: Running) -> None:
    def prints_first(line: ServerConnection) -> None:
        for _ in range(2000):
            line.send(bytes(4096))
        echo(line)

    relay.agent.shell = prints_first
    with relay.connect() as socket:
        told(socket)
        told(socket)
        socket.send(b"x" * 60_000)
        relay.api.status = "running"
        told(socket)

        heard = [socket.recv(timeout=10) for _ in range(2001)]
        assert len(heard[-1]) == 60_000
