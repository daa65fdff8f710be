"""What is carried, and how connections end."""

import contextlib
import logging
import os
import threading
import time
from socket import SHUT_RDWR, create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from infra.relay.line import FRAME_LIMIT, End
from tests.unit.infra.relay.conftest import CONTAINER, TOKEN, Running, closed, greeted, until

NOISE = os.urandom(4096)
HELD = {"recheck_seconds": 0.05}


@pytest.mark.parametrize("frame", ["ls\n", '{"type":"resize","cols":1,"rows":2}', b"\x00\xff\x03", b"", "", "grüße"])
def test_frames_pass_as_they_are(relay: Running, frame: str | bytes) -> None:
    with relay.connect() as socket:
        greeted(socket).send(frame)

        assert socket.recv(timeout=5) == frame


def test_the_largest_frame_passes_and_a_larger_one_ends_it(relay: Running) -> None:
    with relay.connect() as socket:
        frame = os.urandom(FRAME_LIMIT)
        greeted(socket).send(frame)
        assert socket.recv(timeout=5) == frame
        with contextlib.suppress(ConnectionClosed):
            socket.send(frame + b"x")

        assert closed(socket)[0] == 1009


def test_much_that_nobody_reads_is_not_taken_from_the_agent(relay: Running) -> None:
    sent = 0

    def flood(line: ServerConnection) -> None:
        nonlocal sent
        while True:
            line.send(NOISE)
            sent += 4096

    relay.agent.shell = flood
    with relay.connect(max_queue=1, compression=None) as socket:
        greeted(socket)
        time.sleep(1.0)
        before = sent
        time.sleep(0.5)

        # What is under way in buffers of the kernel, some MiB, and nothing more.
        assert sent == before
        assert sent < 32 * FRAME_LIMIT
        while sent == before:
            socket.recv(timeout=5)
        socket.socket.shutdown(SHUT_RDWR)


@pytest.mark.parametrize(
    ("code", "reason", "heard"),
    [(1000, "shell ended", 1000), (1012, "agent stops", 1012), (4001, "", 4001), (1011, "grüße" * 17, 1011)],
)
def test_how_the_agent_ends_it_is_what_the_client_hears_after_the_last_output(
    relay: Running, code: int, reason: str, heard: int
) -> None:
    def ends(line: ServerConnection) -> None:
        line.recv()
        line.send("logout")
        line.close(code, reason)

    relay.agent.shell = ends
    with relay.connect() as socket:
        greeted(socket).send("exit\n")

        assert socket.recv(timeout=5) == "logout"
        assert closed(socket) == (heard, reason)


def test_an_agent_that_vanishes_is_a_1011(relay: Running) -> None:
    relay.agent.shell = lambda line: line.socket.shutdown(SHUT_RDWR)

    with relay.connect() as socket:
        assert closed(socket)[0] == 1011


@pytest.mark.parametrize(("code", "heard"), [(1000, 1000), (4001, 4001)])
def test_how_the_client_ends_it_is_what_the_agent_hears(relay: Running, code: int, heard: int) -> None:
    with relay.connect() as socket:
        greeted(socket)
        socket.close(code, "bye")

    until(lambda: relay.agent.ended)
    assert relay.agent.ended == [(heard, "bye")]


def test_a_client_that_vanishes_leaves_the_agent_with_1001(relay: Running) -> None:
    with relay.connect() as socket:
        greeted(socket).socket.shutdown(SHUT_RDWR)

        until(lambda: relay.agent.ended)
    assert relay.agent.ended == [(1001, "")]


def test_a_client_that_leaves_before_it_is_in_leaves_nothing(relay: Running) -> None:
    relay.agent.wait = threading.Event()
    lines = [
        f"GET /ws/terminal/{CONTAINER}?token={TOKEN} HTTP/1.1",
        "Host: relay",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with create_connection(("127.0.0.1", int(relay.url.rpartition(":")[2]))) as raw:
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        until(lambda: relay.agent.asked)
    relay.agent.wait.set()

    until(lambda: relay.agent.ended)
    until(lambda: not relay.server.server_state.tasks)


@pytest.mark.parametrize("limits", [HELD])
@pytest.mark.parametrize("access", [401, 403, 404])
def test_who_has_no_access_any_more_is_put_out(relay: Running, access: int) -> None:
    with relay.connect() as socket:
        greeted(socket)
        relay.api.access = access

        assert closed(socket) == (4003, "access has ended")
    until(lambda: relay.agent.ended)
    assert relay.agent.ended == [(4003, "access has ended")]


@pytest.mark.parametrize("limits", [HELD])
def test_who_does_not_read_is_put_out_as_well(relay: Running) -> None:
    def flood(line: ServerConnection) -> None:
        while True:
            line.send(NOISE)

    relay.agent.shell = flood
    with relay.connect(max_queue=1) as socket:
        greeted(socket)
        time.sleep(0.5)
        relay.api.access = 401

        until(lambda: relay.agent.ended)
        until(lambda: not relay.server.server_state.tasks)
        socket.socket.shutdown(SHUT_RDWR)


@pytest.mark.parametrize("limits", [HELD])
@pytest.mark.parametrize("access", [500, 429])
def test_an_api_that_cannot_tell_puts_nobody_out(relay: Running, access: int) -> None:
    with relay.connect() as socket:
        greeted(socket)
        relay.api.access = access
        asked = relay.api.asked
        until(lambda: relay.api.asked > asked + 3)
        socket.send("still here")

        assert socket.recv(timeout=5) == "still here"


@pytest.mark.parametrize("limits", [HELD])
def test_who_came_with_a_ticket_is_asked_about_by_it(relay: Running) -> None:
    ticket = relay.api.ticket()
    with relay.by_ticket(ticket) as socket:
        greeted(socket)
        until(lambda: relay.api.asked > 2)
        relay.api.access = 401

        assert closed(socket) == (4003, "access has ended")
    assert set(relay.api.checked) == {ticket}


def test_a_relay_that_stops_says_so_to_both_sides(relay: Running) -> None:
    with relay.on_its_own() as alone, alone.connect() as socket:
        greeted(socket)
        alone.server.should_exit = True

        assert closed(socket)[0] == 1012
    until(lambda: relay.agent.ended)
    assert relay.agent.ended == [(1012, "")]


def test_nothing_runs_on_after_a_hundred_connections(relay: Running) -> None:
    with relay.connect() as socket:
        greeted(socket)
    before = threading.active_count()

    for number in range(100):
        with relay.connect() as socket:
            greeted(socket).send(str(number))
            assert socket.recv(timeout=5) == str(number)

    until(lambda: len(relay.agent.ended) == 101)
    until(lambda: threading.active_count() <= before)
    until(lambda: not relay.server.server_state.tasks)


def test_the_log_has_ids_and_neither_secrets_nor_content(relay: Running, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "berth.relay")

    with relay.connect() as socket:
        greeted(socket).send("password123")
        socket.recv(timeout=5)
    until(lambda: len([each for each in caplog.records if each.name == "berth.relay"]) == 2)

    opened, over = [each for each in caplog.records if each.name == "berth.relay"]
    assert [opened.message, over.message] == ["terminal opened", "terminal closed"]
    assert (over.host, over.user, over.code) == ("host-1", "user-1", 1000)
    assert not any(secret in str(vars(each)) for each in (opened, over) for secret in (TOKEN, "password123"))


@pytest.mark.parametrize(
    ("code", "sent"), [(1005, 1001), (1006, 1011), (1004, 1011), (1015, 1011), (999, 1011), (3000, 3000), (5000, 1011)]
)
def test_codes_that_cannot_be_sent_become_others(code: int, sent: int) -> None:
    assert End(code, "ü" * 100).sendable() == End(sent, "ü" * 61)
