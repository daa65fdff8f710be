"""Terminals over an engine in memory: who gets in, who attends which shell, and what becomes of those left alone."""

import asyncio
import itertools
import json
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.signatures import new_private_key, public_key_of, sign_call
from chalicelib.contract.terminals import Grant, sign_ticket
from infra.hostagent.commands.execs import Execs
from infra.hostagent.guard import Guard
from infra.hostagent.http import SOCKETS, until_end
from infra.hostagent.journal.intents import Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import EngineDown, Size, Tty
from infra.hostagent.profile import profile_of
from infra.hostagent.runtime import ThreadRuntime
from infra.hostagent.terminals.output import KEPT_BYTES, TRUNCATED
from infra.hostagent.terminals.route import Pace, terminal_route
from infra.hostagent.terminals.shell import PROBE
from infra.hostagent.terminals.terminals import AT_ONCE, AT_ONCE_IN_ONE, Terminals
from infra.hostagent.usage.measuring import Measuring
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine, Program
from tests.fakes.meters import IDLE, FakeMeters

CONTROL = new_private_key()
HOST = "host-1"
GRACE = 0.3
NEVER = 3600.0
OFTEN = 0.02


class Served:
    """An application behind the server that agents use."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=2, **SOCKETS)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        until(lambda: self._server.started)

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    @property
    def address(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"ws://127.0.0.1:{port}"

    def stop(self) -> None:
        self.__exit__()


class Client:
    """A socket of a terminal."""

    def __init__(self, address: str, token: str | None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._socket: ClientConnection = connect(
            address, additional_headers=headers, proxy=None, compression=None, ping_interval=None
        )

    def __enter__(self) -> "Client":
        self._socket.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.__exit__(None, None, None)

    def send_text(self, text: str) -> None:
        self._socket.send(text)

    def send_bytes(self, data: bytes) -> None:
        self._socket.send(data)

    def send_json(self, message: Any) -> None:
        self._socket.send(json.dumps(message))

    def receive_text(self) -> str:
        return str(self._socket.recv(timeout=10, decode=True))

    def receive_json(self) -> Any:
        return json.loads(self.receive_text())


class Host:
    """Terminals of one host with some containers that are ready."""

    def __init__(self, folder: Path, grace: float = GRACE, ping: float = 15, stats: float = NEVER) -> None:
        self.engine = FakeEngine(present={"debian:bookworm"}, programs={PROBE: Program()}, users={"0", "user"})
        self.folder = folder / "execs"
        self.journal = Journal(folder / "journal", ThreadRuntime())
        self.execs = Execs(self.engine, self.journal, self.folder)
        self.terminals = Terminals(self.execs, grace)
        guard = Guard(HOST, lambda: public_key_of(CONTROL))
        self.meters, self.disk = FakeMeters(self.engine), MemoryDisk()
        measuring = Measuring(self.journal, self.meters, self.disk)
        route = terminal_route(guard, self.terminals, measuring, Pace(ping, stats))
        self.app = Starlette(routes=[route], lifespan=until_end(self.terminals))
        self.served = Served(self.app)

    def container(self, step: Step = Step.READY) -> str:
        """The id of a new one."""
        spec = a_spec()
        engine_id = self.engine.create(profile_of(spec, HOST, "network", 2))
        self.engine.start(engine_id)
        self.journal.accept(replace(accepted(spec, 0.0), step=step, engine_id=engine_id))
        return spec.container_id

    def open(self, container_id: str, query: str = "", token: str | None = None, **grant: Any) -> Client:
        path = f"/v1/containers/{container_id}/terminal?{query}"
        return Client(self.served.address + path, token or ticket(container_id, **grant))

    def refused(self, container_id: str, query: str = "", token: str | None = None, **grant: Any) -> tuple[int, Any]:
        return refusal(lambda: self.open(container_id, query, token, **grant))

    @property
    def shells(self) -> list[str]:
        """Ids of those that run."""
        return list(self.engine.terminals)

    @property
    def noted(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir())

    def shell(self) -> socket.socket:
        """The far end of the only one."""
        [terminal] = self.engine.terminals.values()
        terminal.settimeout(10)
        return terminal

    @property
    def sizes(self) -> list[Size]:
        [sizes] = self.engine.sized.values()
        return sizes


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    with host.served:
        yield host


def refusal(open_one: Callable[[], Client]) -> tuple[int, Any]:
    """What is answered before there is a socket."""
    with pytest.raises(InvalidStatus) as refused, open_one():
        pass
    answer = refused.value.response
    return answer.status_code, json.loads(answer.body or b"").get("code")


def ticket(container_id: str, **changes: Any) -> str:
    values = {"host_id": HOST, "endpoint": "http://h", "container_id": container_id, "user_id": "user-1"}
    grant = Grant(**(values | {"generation": 1} | changes))
    return sign_ticket(grant, CONTROL, uuid.uuid4().hex, int(time.time()))


def until(true: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def read(socket: Client, words: str, raw: bool = False) -> str:
    """What is printed, up to these words."""
    said = ""
    while words not in said:
        frame = socket.receive_text()
        message = {"type": "output", "data": frame} if raw else json.loads(frame)
        said += message["data"] if message["type"] == "output" else ""
    return said


def heard(shell: socket.socket, size: int) -> bytes:
    """So many bytes that were typed."""
    typed = b""
    while len(typed) < size:
        typed += shell.recv(65536)
    return typed


def closed(socket: Client) -> tuple[int, str]:
    """How it is closed, after whatever comes before."""
    with pytest.raises(ConnectionClosed) as end:
        while True:
            socket.receive_text()
    assert end.value.rcvd is not None
    return end.value.rcvd.code, end.value.rcvd.reason


@contextmanager
def ready(host: Host, query: str = "") -> Iterator[tuple[Client, socket.socket]]:
    """A client at a new shell, and the shell."""
    with host.open(host.container(), query) as client:
        assert [client.receive_json()["type"] for _ in range(2)] == ["shell_starting", "shell_ready"]
        yield client, host.shell()


def test_what_is_typed_goes_in_and_what_is_printed_comes_out(host: Host) -> None:
    with ready(host) as (client, shell):
        client.send_json({"type": "input", "data": "ls\n"})
        client.send_text("null")
        client.send_bytes(b"\x00\xff{")
        shell.sendall("grüße\r\n".encode())

        assert heard(shell, 10) == b"ls\nnull\x00\xff{"
        assert read(client, "\n") == "grüße\r\n"


def test_raw_frames_are_just_what_is_printed_and_messages_still_mean_what_they_say(host: Host) -> None:
    with host.open(host.container(), "raw=1") as client:
        until(lambda: host.shells)
        host.shell().sendall(b"\x1b[1m$ ")
        assert client.receive_text() == "\x1b[1m$ "

        client.send_json({"type": "ping"})
        client.send_json({"type": "resize", "cols": 132, "rows": 43})
        until(lambda: host.sizes[-1] == Size(132, 43))
        host.shell().sendall(b"x")

        assert client.receive_text() == "x"


def test_the_shell_is_a_login_shell_on_a_terminal_of_the_size_that_was_asked_for(host: Host) -> None:
    with ready(host, "cols=132&rows=43"):
        command = host.engine.prepared[host.shells[0]]

    assert (command.user, command.tty, command.reads, command.argv[-1]) == ("user", True, True, "user")
    assert dict(command.environment) == {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    assert host.sizes == [Size(132, 43)]


@pytest.mark.parametrize(
    ("asked", "users", "whose"),
    [
        (None, {"0", "user"}, "user"),
        (None, {"0"}, "0"),
        (ExecUser.USER, {"0", "user"}, "user"),
        (ExecUser.ROOT, {"0", "user"}, "0"),
    ],
)
def test_it_is_the_shell_of_whom_the_ticket_says(
    host: Host, asked: ExecUser | None, users: set[str], whose: str
) -> None:
    host.engine.users = users

    with host.open(host.container(), user=asked):
        assert [host.engine.prepared[each].user for each in host.shells] == [whose]


def test_a_user_that_is_not_there_or_a_missing_shell_is_refused(host: Host) -> None:
    container_id = host.container()
    host.engine.users = {"0"}
    assert host.refused(container_id, user=ExecUser.USER) == (409, "unknown")

    host.engine.programs = {}
    assert host.refused(container_id) == (409, "unknown")

    assert host.noted == host.shells == []


def test_a_ticket_is_good_once(host: Host) -> None:
    container_id = host.container()
    token = ticket(container_id)

    with host.open(container_id, token=token):
        assert host.refused(container_id, token=token) == (401, None)


@pytest.mark.parametrize("changes", [{"host_id": "host-2"}, {"container_id": "other"}])
def test_a_ticket_is_for_one_container_on_one_host(host: Host, changes: dict[str, Any]) -> None:
    container_id = host.container()
    token = ticket(**({"container_id": container_id} | changes))

    assert host.refused(container_id, token=token) == (401, None)


def test_what_is_no_ticket_of_now_opens_nothing(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    container_id = host.container()
    grant = Grant(host_id=HOST, endpoint="http://h", container_id=container_id, user_id="user-1", generation=1)
    path, now = f"/v1/containers/{container_id}/terminal", int(time.time())
    call: dict[str, Any] = {"private_pem": CONTROL, "host_id": HOST, "method": "GET", "path": path, "body": b""}
    wrong = [
        "nonsense",
        sign_ticket(grant, CONTROL, "old", now - 120),
        sign_ticket(grant, new_private_key(), "by-another", now),
        sign_call(**call, call_id="a-call", issued_at=now),
    ]

    assert [host.refused(container_id, token=each) for each in wrong] == [(401, None)] * len(wrong)
    assert refusal(lambda: Client(host.served.address + path, None)) == (401, None)
    assert host.shells == []
    assert not [each for each in wrong if each in caplog.text]


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.READY])
def test_a_container_that_is_not_ready_has_no_terminal(host: Host, step: Step) -> None:
    assert host.refused(host.container(step)) == (409, "unknown")


def test_another_generation_or_nobody_has_no_terminal(host: Host) -> None:
    assert host.refused(host.container(), generation=2) == (409, "unknown")
    assert host.refused("nobody") == (409, "unknown")


def test_an_engine_that_does_not_answer_is_said_to_be_down(host: Host) -> None:
    container_id = host.container()
    host.engine.down = True

    assert host.refused(container_id) == (503, "engine_down")


class Unwilling(FakeEngine):
    """Prepares what it then does not run."""

    def attach(self, exec_id: str, size: Size) -> Tty:
        raise EngineDown("attach")


def test_a_shell_that_may_have_begun_is_ended(host: Host) -> None:
    host.engine = Unwilling(present={"debian:bookworm"}, programs={PROBE: Program()}, users={"0", "user"})
    host.execs.engine = host.execs.notes.engine = host.engine

    assert host.refused(host.container()) == (503, "engine_down")

    assert (host.engine.calls[-1], host.noted) == ("end", [])


def test_who_returns_in_time_finds_the_same_shell_and_what_it_printed(host: Host) -> None:
    container_id = host.container()
    with host.open(container_id) as client:
        client.receive_json()
    shells = host.shells
    host.shell().sendall(b"missed")

    with host.open(container_id, "cols=100") as client:
        assert client.receive_json() == {"type": "shell_ready"}
        assert read(client, "missed") == "missed"
        until(lambda: host.sizes[-1] == Size(100, 24))

    assert host.shells == shells


def test_a_shell_that_nobody_returns_to_is_ended_with_its_note(host: Host) -> None:
    container_id = host.container()
    with host.open(container_id):
        [shell] = host.shells
        time.sleep(2 * GRACE)
        assert host.noted == host.shells == [shell]

    until(lambda: host.engine.calls.count("end") == 1)
    until(lambda: host.noted == host.shells == [])
    with host.open(container_id) as client:
        assert client.receive_json() == {"type": "shell_starting"}


def test_a_second_socket_takes_over(host: Host) -> None:
    container_id = host.container()
    with host.open(container_id) as first, host.open(container_id) as second:
        assert closed(first) == (1000, "taken over")
        time.sleep(2 * GRACE)
        host.shell().sendall(b"for the second")

        assert read(second, "second") == "for the second"
        assert len(host.shells) == 1


def test_other_keys_users_and_new_sessions_have_shells_of_their_own(host: Host) -> None:
    container_id = host.container()
    with (
        host.open(container_id),
        host.open(container_id, "id=b"),
        host.open(container_id, user_id="user-2"),
        host.open(container_id, user=ExecUser.ROOT),
        host.open(container_id, "newSession=true"),
        host.open(container_id, "newSession=true"),
    ):
        assert len(host.shells) == 6


def test_a_shell_that_nobody_can_return_to_ends_with_its_socket(tmp_path: Path) -> None:
    host = Host(tmp_path, grace=60)
    with host.served:
        with host.open(host.container(), "newSession=true"):
            assert len(host.shells) == 1

        until(lambda: host.noted == host.shells == [])


def test_when_the_shell_ends_the_rest_is_sent_and_the_socket_closed(host: Host) -> None:
    with ready(host) as (client, shell):
        shell.sendall(b"x" * 300_000 + b"bye")
        host.engine.end_terminal(host.shells[0])

        assert len(read(client, "bye")) == 300_003
        assert closed(client) == (1000, "the shell has ended")
    assert host.noted == []


def test_a_container_that_ends_takes_its_shells_with_it(host: Host) -> None:
    with ready(host) as (client, _):
        [engine_id] = host.engine.rows
        host.engine.die(engine_id, 137)

        assert closed(client) == (1000, "the shell has ended")


def test_an_engine_that_is_gone_is_told_and_the_shell_not_forgotten(host: Host) -> None:
    with ready(host) as (client, _):
        [shell] = host.shells
        host.engine.down = True
        host.engine.end_terminal(shell)

        assert closed(client) == (1011, "the host's engine does not answer")
    assert host.noted == [shell]
    host.engine.down = False
    host.execs.sweep()
    assert host.noted == []


def test_shells_in_use_are_not_swept_and_those_of_an_agent_that_died_are(host: Host) -> None:
    with ready(host):
        host.execs.sweep()
        assert len(host.shells) == 1

        Execs(host.engine, host.journal, host.folder).sweep()
        until(lambda: not host.shells)


def test_output_without_end_is_held_to_a_size_while_nobody_reads(tmp_path: Path) -> None:
    host = Host(tmp_path, grace=60)
    container_id = host.container()
    with host.served:
        with host.open(container_id):
            until(lambda: host.shells)
        host.shell().sendall(b"old" * KEPT_BYTES + b"the newest")
        until(lambda: host.engine.terminals)

        with host.open(container_id) as client:
            said = read(client, "the newest")

    assert said.startswith(TRUNCATED)
    assert len(said) <= KEPT_BYTES + len(TRUNCATED) + 200_000


def test_many_sizes_in_a_short_time_are_few_calls_and_the_last_counts(host: Host) -> None:
    with ready(host) as (client, _):
        for number in range(2000):
            client.send_json({"type": "resize", "cols": 1 + number % 500, "rows": 65535})
        client.send_json({"type": "resize", "cols": 77, "rows": 33})
        until(lambda: host.sizes[-1] == Size(77, 33))

        assert host.engine.calls.count("resize_tty") < 100
        assert all(1 <= size.cols <= 1000 and size.rows <= 1000 for size in host.sizes)


def test_a_paste_arrives_whole_and_waits_for_a_slow_reader(host: Host) -> None:
    pieces = [b"\xff" + bytes([number]) * 512 * 1024 for number in range(20)]
    with ready(host) as (client, shell):
        sending = threading.Thread(target=lambda: [client.send_bytes(each) for each in pieces], daemon=True)
        sending.start()
        time.sleep(0.3)  # nobody reads

        typed = heard(shell, sum(map(len, pieces)))
        sending.join()

    assert typed == b"".join(pieces)


def test_a_ping_is_answered_and_pings_are_sent(tmp_path: Path) -> None:
    host = Host(tmp_path, ping=0.2)
    with host.served, ready(host) as (client, _):
        client.send_json({"type": "ping"})
        client.send_json({"type": "pong"})
        kinds = [client.receive_json()["type"] for _ in range(3)]

    assert kinds == ["pong", "ping", "ping"]


def stats(client: Client) -> dict[str, Any]:
    """The next numbers, after whatever else there is."""
    while (message := client.receive_json())["type"] != "stats":
        pass
    return dict(json.loads(message["data"]))


def test_who_attends_is_told_what_the_container_uses(tmp_path: Path) -> None:
    host = Host(tmp_path, stats=OFTEN)
    with host.served, ready(host) as (client, shell):
        first = stats(client)
        [engine_id] = host.engine.rows
        host.meters.used[engine_id] = replace(IDLE, memory=7, disk_read=1, disk_write=2, net_rx=3, net_tx=4)
        host.disk.held[engine_id] = 5
        while (told := stats(client))["memory"] != 7:
            assert told == first
        shell.sendall(b"printed")
        assert read(client, "printed") == "printed"
        told = stats(client)

    granted = a_spec().resources
    assert told == {
        "cpu_percent": 0.0,
        "memory": 7,
        "memory_limit": granted.memory_mb * 1024 * 1024,
        "disk_read": 1,
        "disk_write": 2,
        "disk_usage": 5,
        "disk_limit": granted.disk_mb * 1024 * 1024,
        "net_rx": 3,
        "net_tx": 4,
    }


def test_a_busy_core_is_a_hundred_percent(tmp_path: Path) -> None:
    """Of a clock on which a second passes from reading to reading."""
    host = Host(tmp_path, stats=OFTEN)
    with host.served, ready(host) as (client, _):
        [engine_id] = host.engine.rows
        seconds = 0.0
        while stats(client)["cpu_percent"] < 100:
            seconds += 1
            assert seconds < 500
            host.meters.used[engine_id] = replace(IDLE, cpu_seconds=seconds)


def test_raw_frames_are_never_numbers_and_nothing_is_read_for_them(tmp_path: Path) -> None:
    host = Host(tmp_path, stats=OFTEN)
    with host.served, host.open(host.container(), "raw=1") as client:
        until(lambda: host.shells)
        time.sleep(10 * OFTEN)
        host.shell().sendall(b"printed")

        assert client.receive_text() == "printed"
    assert host.meters.readings == 0


def test_nothing_is_measured_while_nobody_attends_and_numbers_are_not_kept(tmp_path: Path) -> None:
    host = Host(tmp_path, grace=60, stats=OFTEN)
    with host.served:
        container_id = host.container()
        with host.open(container_id) as client:
            stats(client)
        shells = host.shells
        until(lambda: _settled(host))
        host.meters.blind = True
        host.shell().sendall(b"missed")

        with host.open(container_id) as client:
            frames = [client.receive_json() for _ in range(2)]

    assert frames == [{"type": "shell_ready"}, {"type": "output", "data": "missed"}]
    assert shells


def _settled(host: Host) -> bool:
    """Whether nobody takes readings any more."""
    before = host.meters.readings
    time.sleep(10 * OFTEN)
    return host.meters.readings == before


@pytest.mark.parametrize("harm", [{"blind": True}, {"down": True}])
def test_what_cannot_be_measured_is_not_told_and_the_terminal_goes_on(tmp_path: Path, harm: dict[str, bool]) -> None:
    host = Host(tmp_path, ping=0.3, stats=OFTEN)
    container_id = host.container()
    host.meters.blind = True
    with host.served, host.open(container_id) as client:
        until(lambda: host.meters.readings)
        if "down" in harm:
            host.engine.down = True
        until(lambda: host.meters.readings > 1)
        host.shell().sendall(b"printed")
        kinds = [client.receive_json()["type"] for _ in range(4)]
        host.engine.down = False

    assert set(kinds) == {"shell_starting", "shell_ready", "output", "ping"}


def test_a_client_that_is_slow_gets_the_newest_numbers_and_none_before_them(tmp_path: Path) -> None:
    """By the application itself, without buffers between: a frame with output is not taken for a while."""
    host = Host(tmp_path, stats=OFTEN)
    container_id = host.container()
    [engine_id] = host.engine.rows
    sent: list[dict[str, Any]] = []

    async def attend() -> None:
        reads, stuck = asyncio.Event(), asyncio.Event()
        arriving: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        arriving.put_nowait({"type": "websocket.connect"})

        async def send(message: Any) -> None:
            frame = json.loads(message.get("text") or "{}")
            if frame.get("type") == "output":
                stuck.set()
                await reads.wait()
            sent.append(frame)

        async def until_read(readings: int) -> None:
            while host.meters.readings < readings:
                await asyncio.sleep(OFTEN / 10)

        attending = asyncio.create_task(host.app(socket_scope(container_id), arriving.get, send))
        while {"type": "shell_ready"} not in sent:
            await asyncio.sleep(OFTEN / 10)
        host.shell().sendall(b"printed")
        await stuck.wait()
        sent.clear()
        await until_read(host.meters.readings + 10)
        host.meters.used[engine_id] = replace(IDLE, memory=7)
        await until_read(host.meters.readings + 3)
        reads.set()
        while len(sent) < 3:
            await asyncio.sleep(OFTEN / 10)
        arriving.put_nowait({"type": "websocket.disconnect"})
        await attending
        await host.terminals.close()

    asyncio.run(attend())

    assert [frame["type"] for frame in sent[:3]] == ["output", "stats", "stats"]
    assert [json.loads(frame["data"])["memory"] for frame in sent[1:3]] == [7, 7]


def socket_scope(container_id: str) -> dict[str, Any]:
    """A client's socket as a server tells an application of it."""
    path = f"/v1/containers/{container_id}/terminal"
    headers = [(b"authorization", f"Bearer {ticket(container_id)}".encode())]
    said = {"query_string": b"", "headers": headers, "subprotocols": []}
    return {"type": "websocket", "scheme": "ws", "path": path, "raw_path": path.encode(), "root_path": ""} | said


def test_one_container_has_so_many_shells_and_a_host_too(host: Host) -> None:
    containers = [host.container() for _ in range(AT_ONCE // AT_ONCE_IN_ONE)]
    with ExitStack() as opened:
        for container_id, number in itertools.product(containers, range(AT_ONCE_IN_ONE)):
            opened.enter_context(host.open(container_id, f"id={number}"))
            if container_id == containers[0] and number + 1 == AT_ONCE_IN_ONE:
                assert host.refused(container_id, "id=more") == (503, "busy")
        assert host.refused(host.container()) == (503, "busy")
        opened.enter_context(host.open(containers[0], "id=0"))

    until(lambda: not host.shells)
    with host.open(containers[0], "id=more"):
        assert len(host.shells) == 1


def test_an_agent_that_ends_sends_everybody_away_and_ends_the_shells(tmp_path: Path) -> None:
    host = Host(tmp_path, grace=60)
    with host.served:
        container_id = host.container()
        with host.open(container_id, "id=left"):
            pass
        with host.open(container_id) as attended:
            until(lambda: len(host.shells) == 2)
            host.served.stop()

            assert closed(attended)[0] == 1012
    assert host.noted == host.shells == []


def test_nothing_that_is_typed_or_printed_is_logged(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ready(host) as (client, shell):
        client.send_text("typed-secret")
        heard(shell, 12)
        shell.sendall(b"printed-secret")
        read(client, "secret")

    records = [str(each.__dict__) for each in caplog.records if each.name.startswith(("berth", "uvicorn"))]
    assert [each for each in records if "terminal opened" in each]
    assert not [each for each in records if "secret" in each or "Bearer" in each]
