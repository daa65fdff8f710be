"""Subscribers: how they get in, what they hear first, and what happens to those who misbehave or leave."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from infra.local.berth import Berth
from tests.flow.conftest import User, frames


def status_of(url: str, **options: Any) -> int:
    """The HTTP status that an upgrade is refused with."""
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None, **options):
        pass
    return refused.value.response.status_code


@pytest.mark.parametrize("dialect", ["rexec", "berth"])
def test_a_token_may_come_as_a_subprotocol_and_the_version_is_echoed(user: User, dialect: str) -> None:
    offered: Any = [f"{dialect}.v1", f"{dialect}.token.{user.token}"]

    with connect(user.berth.socket_url, subprotocols=offered, proxy=None) as socket:
        assert socket.subprotocol == f"{dialect}.v1"
        assert frames(socket, lambda frame: True)[0]["type"] == "list"


@pytest.mark.parametrize("path", ["", "/containers/events"])
def test_a_token_may_come_in_the_query_on_both_paths(user: User, path: str) -> None:
    with connect(f"{user.berth.socket_url}{path}?token={user.token}", proxy=None) as socket:
        assert frames(socket, lambda frame: True)[0]["type"] == "list"
        assert socket.subprotocol is None


def test_a_ticket_lets_one_connection_in(user: User) -> None:
    ticket = user.http.post("/tickets").json()["ticket"]
    url = f"{user.berth.socket_url}?ticket={ticket}"

    with connect(url, proxy=None) as socket:
        assert frames(socket, lambda frame: True)[0]["type"] == "list"

    assert status_of(url) == 401


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"additional_headers": {"Authorization": "Bearer nonsense"}},
        {"additional_headers": {"Authorization": "Basic eDp5"}},
        {"subprotocols": ["rexec.v1"]},
        {"subprotocols": ["rexec.v1", "rexec.token.nonsense"]},
    ],
)
def test_who_has_no_good_token_is_refused_before_the_upgrade(berth: Berth, options: dict[str, Any]) -> None:
    assert status_of(berth.socket_url, **options) == 401


def test_the_first_credential_decides(user: User) -> None:
    url = f"{user.berth.socket_url}?token={user.token}"

    assert status_of(url, additional_headers={"Authorization": "Bearer nonsense"}) == 401


def test_a_browser_page_from_elsewhere_is_refused(user: User) -> None:
    url = f"{user.berth.socket_url}?token={user.token}"

    assert status_of(url, origin="https://evil.example") == 403
    with connect(url, origin=user.berth.url.removesuffix("/api"), proxy=None) as socket:
        assert frames(socket, lambda frame: True)[0]["type"] == "list"


def test_the_eleventh_connection_of_a_user_is_refused(user: User) -> None:
    with contextlib.ExitStack() as open_sockets:
        for _ in range(10):
            open_sockets.enter_context(user.subscribe())

        assert status_of(f"{user.berth.socket_url}?token={user.token}") == 429


def test_ping_is_answered_and_a_list_on_request(user: User) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        socket.send('{"type":"ping"}')
        assert json.loads(socket.recv(timeout=10)) == {"type": "pong"}
        socket.send('{"type":"list"}')
        assert json.loads(socket.recv(timeout=10))["type"] == "list"


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "null", '{"type":5}', '{"type":"shout"}', "[" * 20_000])
def test_a_bad_frame_is_answered(user: User, text: str) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        socket.send(text)
        answer = json.loads(socket.recv(timeout=10))

    assert answer["type"] == "error"
    assert isinstance(answer["error"], str)


def test_the_fifth_bad_frame_in_a_row_closes_the_connection(user: User) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        for _ in range(4):
            socket.send("bad")
            assert json.loads(socket.recv(timeout=10))["type"] == "error"
        socket.send('{"type":"ping"}')
        assert json.loads(socket.recv(timeout=10))["type"] == "pong"
        for _ in range(5):
            socket.send("bad")
            assert json.loads(socket.recv(timeout=10))["type"] == "error"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_binary_frames_and_too_large_ones_close_the_connection(user: User) -> None:
    for message, code in ((b"binary", 1003), ("x" * 33_000, 1009)):
        with user.subscribe() as socket:
            frames(socket, lambda frame: True)
            socket.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


def test_who_connects_in_the_middle_gets_the_list_first_and_then_every_frame(user: User) -> None:
    created = user.create()
    with user.subscribe() as socket:
        heard = frames(
            socket,
            lambda frame: (
                frame["type"] == "updated"
                or (frame["type"] == "list" and frame["container"]["containers"][0]["status"] == "running")
            ),
        )

    assert heard[0]["type"] == "list"
    seqs = [frame["seq"] for frame in heard[1:]]
    last = heard[0]["container"]["containers"][0]["last_seq"]
    assert [seq for seq in dict.fromkeys(seqs) if seq > last] == list(range(last + 1, last + 1 + len(set(seqs))))
    assert heard[0]["container"]["containers"][0]["id"] == created["id"]


def test_all_of_a_users_connections_hear_the_same(user: User) -> None:
    with user.subscribe() as one, user.subscribe() as two:
        for socket in (one, two):
            frames(socket, lambda frame: True)
        user.create()

        heard = [frames(socket, lambda frame: frame["type"] == "updated") for socket in (one, two)]

    assert heard[0] == heard[1]


def test_a_revoked_token_closes_its_connections(user: User) -> None:
    minted = user.http.post("/tokens", json={"name": "other"}).json()
    with connect(f"{user.berth.socket_url}?token={minted['token']}", proxy=None) as socket:
        frames(socket, lambda frame: True)
        user.http.delete(f"/tokens/{minted['id']}")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


def test_connections_that_went_away_are_forgotten(user: User, berth: Berth) -> None:
    for _ in range(3):
        with user.subscribe() as socket:
            frames(socket, lambda frame: True)
    berth.cloud.sockets.drop_disconnects = True
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
    berth.cloud.sockets.drop_disconnects = False

    created = user.create()
    user.until(created["id"], "running")

    found = berth.cloud.client("dynamodb").query(
        TableName="berth-local-connections",
        KeyConditionExpression="user_id = :user",
        ExpressionAttributeValues={":user": {"S": user.id}},
    )
    assert found["Count"] == 0


def test_frames_say_what_the_item_says(user: User, new_user: Callable[..., User]) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        created = user.create()
        heard = frames(socket, lambda frame: frame["type"] == "updated")

    item = user.http.get(f"/containers/{created['id']}").json()
    assert item["last_seq"] == heard[-1]["seq"]
    assert item["container_id"] == heard[-1]["container"]["container_id"]
