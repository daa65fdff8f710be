"""Terminals through the whole road: client, relay, function for the ticket, agent, shell in a container, and back."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client
from websockets.sync.client import ClientConnection

from infra.apidocs.answers import Usage
from infra.apidocs.terminal_frames import SERVER_FRAME
from infra.local.berth import Berth
from tests.flow.conftest import PATIENCE_SECONDS, User
from tests.flow.test_sockets import status_of

MISSING = "docker.io/berth-no-such-owner/no-such-image:1"
TYPED_AND_DONE = "echo $((6*7))$((0))\n"
"""What it prints is not what was typed."""


@dataclass
class Terminal:
    """One client at a terminal, as SDKs are."""

    socket: ClientConnection
    printed: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    """All frames but those with output or numbers."""
    stats: list[dict[str, float]] = field(default_factory=list)

    def until(self, wanted: str) -> str:
        """All that was printed once that is in it."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.printed:
            assert time.monotonic() < ends, self.printed
            self._hear()
        return self.printed

    def until_told(self, kind: str) -> list[dict[str, Any]]:
        while not any(each["type"] == kind for each in self.told):
            self._hear()
        return self.told

    def until_stats(self, so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """The first numbers from here on of which it is so."""
        ends, heard = time.monotonic() + PATIENCE_SECONDS, len(self.stats)
        while not (found := [each for each in self.stats[heard:] if so(each)]):
            assert time.monotonic() < ends, self.stats[heard:]
            self._hear()
        return found[0]

    def closed(self) -> tuple[int, str]:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._hear()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    def does(self, command: str, prints: str) -> None:
        self.printed = ""
        self.socket.send(json.dumps({"type": "input", "data": command + "\n"}))
        self.until(prints)

    def _hear(self) -> None:
        heard = self.socket.recv(timeout=PATIENCE_SECONDS)
        SERVER_FRAME.validate_json(heard)
        message = json.loads(heard)
        if message["type"] == "output":
            self.printed += message["data"]
        elif message["type"] == "stats":
            self.stats.append(json.loads(message["data"]))
        else:
            self.told.append(message)


def connect(url: str, **options: Any) -> ClientConnection:
    """A socket that takes what comes, numbers each second, also while the test reads another."""
    return client.connect(url, proxy=None, max_queue=None, **options)


def url_of(berth: Berth, container_id: str) -> str:
    return f"ws://127.0.0.1:{berth.cloud.port}/ws/terminal/{container_id}"


@contextlib.contextmanager
def terminal(user: User, container_id: str, query: str = "", **options: Any) -> Iterator[Terminal]:
    """By the user's token."""
    options.setdefault("additional_headers", {"Authorization": f"Bearer {user.token}"})
    with connect(url_of(user.berth, container_id) + query, open_timeout=30, **options) as socket:
        yield Terminal(socket)


@pytest.fixture
def running(user: User) -> str:
    container_id = str(user.create()["id"])
    user.until(container_id, "running")
    return container_id


def test_who_creates_and_connects_at_once_sees_it_become_a_shell(user: User) -> None:
    with terminal(user, user.create()["id"]) as opened:
        opened.socket.send(TYPED_AND_DONE)
        opened.until("420")

    told = [(each["type"], each.get("data")) for each in opened.told if each["type"] != "ping"]
    assert told[:3] == [
        ("connected", "connected to berth"),
        ("container_status", "creating"),
        ("container_status", "running"),
    ]
    assert [kind for kind, _ in told[3:5]] == ["shell_starting", "shell_ready"]


def test_a_ticket_opens_one_terminal_by_the_url_that_comes_with_it(user: User, running: str) -> None:
    answer = user.http.post(f"/containers/{running}/terminal", json={"user": "root"}).json()

    with connect(answer["url"]) as socket:
        Terminal(socket).does("id -un", "root")

    assert answer["url"].startswith(url_of(user.berth, running))
    assert status_of(answer["url"]) == 401


@pytest.mark.parametrize("dialect", ["berth", "rexec"])
def test_browsers_and_those_who_know_the_engines_id_get_in(user: User, dialect: str) -> None:
    engine_id = user.until(user.create()["id"], "running")["container_id"]
    offered: Any = [f"{dialect}.v1", f"{dialect}.token.{user.token}"]
    origin: Any = f"http://127.0.0.1:{user.berth.cloud.port}"

    with terminal(user, engine_id, additional_headers={}, subprotocols=offered, origin=origin) as opened:
        opened.does("echo $((6*7))", "42")
        assert opened.socket.subprotocol == f"{dialect}.v1"


def test_nobody_else_gets_in(user: User, running: str, new_user: Callable[..., User]) -> None:
    url = url_of(user.berth, running)
    reader = user.http.post("/tokens", json={"name": "reader", "scopes": ["read"]}).json()["token"]

    def refused(token: str, **options: Any) -> int:
        return status_of(url, additional_headers={"Authorization": f"Bearer {token}"}, **options)

    assert [refused(new_user().token), refused(reader), refused("nonsense"), status_of(url)] == [404, 403, 401, 401]
    assert refused(user.token, origin="https://evil.example") == 403


def test_a_revoked_token_ends_its_terminals_within_a_minute(user: User, running: str) -> None:
    """One opened by ticket and one by token, neither of which says a word meanwhile (I14)."""
    minted = user.http.post("/tokens", json={"name": "lost", "scopes": ["exec"]}).json()
    bearer = {"Authorization": f"Bearer {minted['token']}"}
    url = httpx.post(f"{user.berth.url}/containers/{running}/terminal", headers=bearer, trust_env=False).json()["url"]
    own = connect(
        url_of(user.berth, running) + "?id=kept",
        additional_headers={"Authorization": f"Bearer {user.token}"},
    )

    with (
        own as kept,
        connect(url) as by_ticket,
        terminal(user, running, "?newSession=true", additional_headers=bearer) as by_token,
    ):
        Terminal(by_ticket).does("echo $((6*7))", "42")
        assert user.http.delete(f"/tokens/{minted['id']}").status_code == 200
        began = time.monotonic()

        assert Terminal(by_ticket).closed()[0] == 4003
        assert by_token.closed()[0] == 4003
        assert time.monotonic() - began < 60
        Terminal(kept).does("echo $((6*7))", "42")


def test_what_does_not_run_has_no_terminal(user: User, running: str) -> None:
    user.http.post(f"/containers/{running}/stop")
    user.until(running, "stopped")

    with pytest.raises(InvalidStatus) as refused, terminal(user, running):
        pass

    answered = refused.value.response
    assert (answered.status_code, json.loads(answered.body or b"{}")["status"]) == (409, "stopped")


def test_bytes_are_typed_as_they_are_and_the_window_has_its_size(user: User, running: str) -> None:
    with terminal(user, running, "?cols=101&rows=31") as opened:
        opened.socket.send(b"stty size\n")
        opened.until("31 101")
        opened.socket.send(json.dumps({"type": "resize", "cols": 133, "rows": 44}))
        opened.does("until stty size | grep '44 133'; do sleep 0.1; done", "44 133\r")
        opened.socket.send('{"a":1}\n')
        opened.until('{"a":1}')


def test_raw_is_what_the_shell_prints(user: User, running: str) -> None:
    with terminal(user, running, "?raw=1") as opened:
        opened.socket.send("echo $((6*7))0\n")
        printed = ""
        while "420" not in printed:
            heard = opened.socket.recv(timeout=PATIENCE_SECONDS)
            printed += heard if isinstance(heard, str) else heard.decode()


def test_a_client_sees_what_its_container_uses(user: User, running: str) -> None:
    granted = user.http.get(f"/containers/{running}").json()["resources"]
    mega = 1024 * 1024
    with terminal(user, running) as opened:
        first = opened.until_stats(lambda each: True)
        assert first["memory_limit"] == granted["memory_mb"] * mega
        assert first["disk_limit"] == granted["disk_mb"] * mega

        opened.socket.send("while :; do :; done\n")
        opened.until_stats(lambda each: each["cpu_percent"] > first["cpu_percent"] + 10)
        opened.socket.send("\x03")
        opened.does(f"dd if=/dev/zero of=/dev/shm/filled bs={mega} count=16; echo fil''led", "filled")
        opened.until_stats(lambda each: each["memory"] > first["memory"] + 15 * mega)
        opened.does(f"dd if=/dev/urandom of=/tmp/written bs={mega} count=6; sync; echo writ''ten", "written")
        opened.until_stats(lambda each: each["disk_usage"] >= first["disk_usage"] + 6 * mega)


def test_what_a_container_uses_can_be_asked_for(user: User, running: str) -> None:
    used = user.http.get(f"/containers/{running}/stats")

    assert used.status_code == 200
    told = Usage.model_validate(used.json())
    assert (str(told.id), told.memory_limit) == (running, 256 * 1024 * 1024)
    assert 0 < told.memory < told.memory_limit
    user.http.post(f"/containers/{running}/stop")
    user.until(running, "stopped")
    assert user.http.get(f"/containers/{running}/stats").status_code == 409
    assert user.http.get(f"/containers/{'0' * 12}/stats").status_code == 404


def test_who_comes_back_finds_the_same_shell(user: User, running: str) -> None:
    with terminal(user, running) as opened:
        opened.does("X=5; echo set$X", "set5")
        opened.socket.socket.shutdown(2)

    with terminal(user, running) as again:
        again.does("echo value-$X-", "value-5-")
    with terminal(user, running, "?newSession=true") as other:
        other.does("echo value-$X-", "value--")


def test_a_shell_that_ends_closes_the_socket(user: User, running: str) -> None:
    with terminal(user, running) as opened:
        opened.socket.send("exit\n")

        assert opened.closed()[0] == 1000


def test_much_that_is_printed_comes_whole(user: User, running: str) -> None:
    with terminal(user, running) as opened:
        opened.does("stty -echo; seq 1 200000; echo en''d", "end")

    lines = re.sub(r"\x1b\[\?2004[hl]|\r", "", opened.printed).split("\n")
    numbers = [int(each) for each in lines if each.isdigit()]
    assert numbers == list(range(1, 200_001))


def test_a_container_that_is_deleted_takes_its_terminals_along(user: User, running: str) -> None:
    with terminal(user, running) as opened:
        opened.does("echo $((6*7))", "42")
        user.http.delete(f"/containers/{running}")

        assert opened.closed()[0] in (1000, 1011)
    with pytest.raises(InvalidStatus) as refused, terminal(user, running):
        pass
    assert refused.value.response.status_code == 404


def test_a_creation_that_fails_is_told(user: User) -> None:
    with terminal(user, user.create(image="custom", custom_image=MISSING)["id"]) as opened:
        code, reason = opened.closed()

    assert code == 1011, (code, reason)
    assert opened.told[-1]["type"] == "error"


def test_the_gateway_knows_no_terminal_by_plain_http(berth: Berth) -> None:
    url = url_of(berth, "box").replace("ws", "http", 1)

    assert httpx.get(url, trust_env=False).status_code >= 400
