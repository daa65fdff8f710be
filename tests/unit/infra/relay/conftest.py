"""A relay on loopback between a client, an API and an agent that do as a test tells them."""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.contract.terminals import Grant, relay_key, sign_ticket, wrap
from infra.relay.api import Keys
from infra.relay.app import Relay, RelaySettings
from infra.relay.line import FRAME_LIMIT
from infra.relay.waiting import Patience

KEY = new_private_key()
CONTAINER = "11111111-2222-3333-4444-555555555555"
TOKEN = "berth_good"
ORIGIN = "https://page.example"
SECONDS = 10.0

Shell = Callable[[ServerConnection], None]


def echo(line: ServerConnection) -> None:
    for frame in line:
        line.send(frame)


@dataclass
class FakeAgent:
    """A host's agent: `shell` is what it does with a terminal, `status` what it refuses with instead."""

    port: int = 0
    status: int = 101
    says: str = ""
    shell: Shell = echo
    wait: threading.Event | None = None
    """It answers once this is set."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Paths, and what came as Authorization."""
    ended: list[tuple[int, str]] = field(default_factory=list)

    def before(self, line: ServerConnection, request: Any) -> Any:
        self.asked.append((request.path, request.headers["Authorization"]))
        if self.wait is not None:
            self.wait.wait(SECONDS)
        return None if self.status == 101 else line.respond(self.status, json.dumps({"error": self.says}))

    def serve(self, line: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            self.shell(line)
        line.close()
        self.ended.append((line.close_code or 0, line.close_reason or ""))


@dataclass
class FakeApi:
    """The API: `status` is the container's, `refusal` what it answers instead of a ticket."""

    agent: FakeAgent
    status: str = "running"
    access: int = 200
    scopes: tuple[str, ...] = ("read", "exec")
    error: dict[str, str] | None = None
    key: str = KEY
    users: list[Any] = field(default_factory=list)
    asked: int = 0
    checked: list[str] = field(default_factory=list)

    def ticket(self, container: str = CONTAINER, user: str | None = None, age: int = 0) -> str:
        grant = Grant(
            host_id="host-1",
            endpoint=f"http://127.0.0.1:{self.agent.port}",
            container_id=container,
            user_id="user-1",
            generation=1,
            user=ExecUser(user) if user else None,
        )
        ticket = sign_ticket(grant, self.key, str(uuid.uuid4()), int(time.time()) - age)
        return wrap(ticket, relay_key(self.key))

    async def admit(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        body = await request.body()
        self.users.append(json.loads(body).get("user") if body else None)
        if request.path_params["id"] not in (CONTAINER, "box"):
            return JSONResponse({"error": "container not found", "code": "not_found"}, 404)
        if self.status != "running":
            conflict = {"error": f"the container is {self.status}", "code": "status_conflict", "status": self.status}
            return JSONResponse(conflict, 409, {"X-Request-Id": "r-1"})
        return JSONResponse({"ticket": self.ticket(user=self.users[-1])})

    async def get(self, request: Request) -> Response:
        self.asked += 1
        if "read" not in self.scopes:
            return JSONResponse({"error": "insufficient scope", "required": "read"}, 403)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        return JSONResponse({"id": CONTAINER, "status": self.status, "error": self.error})

    async def check(self, request: Request) -> Response:
        self.asked += 1
        self.checked.append(json.loads(await request.body())["ticket"])
        return JSONResponse({"message": "as you see"}, self.access)

    def _refusal(self, request: Request) -> Response | None:
        if request.headers["Authorization"] != f"Bearer {TOKEN}" or self.access == 401:
            return JSONResponse({"error": "unauthorized", "code": "unauthorized"}, 401, {"WWW-Authenticate": "Bearer"})
        if self.access != 200:
            return JSONResponse({"error": "no", "code": "no"}, self.access, {"Retry-After": "7"})
        return None

    def routes(self) -> list[Route]:
        return [
            Route("/api/containers/{id}/terminal", self.admit, methods=["POST"]),
            Route("/api/terminals/check", self.check, methods=["POST"]),
            Route("/api/containers/{id}", self.get, methods=["GET"]),
        ]


@dataclass
class Running:
    """What a test talks to."""

    url: str
    api: FakeApi
    agent: FakeAgent
    server: uvicorn.Server
    """Of all tests of a run: not to be stopped."""
    application: Starlette

    @contextlib.contextmanager
    def on_its_own(self) -> Iterator["Running"]:
        """The same relay on a server that may be stopped."""
        with in_thread(self.application) as (server, port):
            yield replace(self, url=f"ws://127.0.0.1:{port}", server=server)

    def connect(self, reference: str = CONTAINER, query: str = "", **options: Any) -> ClientConnection:
        options.setdefault("additional_headers", {"Authorization": f"Bearer {TOKEN}"})
        return connect(f"{self.url}/ws/terminal/{reference}{query}", proxy=None, **options)

    def by_ticket(self, ticket: str, reference: str = CONTAINER) -> ClientConnection:
        return self.connect(reference, f"?ticket={ticket}", additional_headers={})

    def refusal(self, *arguments: Any, **options: Any) -> tuple[int, dict[str, Any]]:
        """Status and body that an upgrade is refused with."""
        with pytest.raises(InvalidStatus) as refused, self.connect(*arguments, **options):
            pass
        return refused.value.response.status_code, json.loads(refused.value.response.body or b"{}")


def told(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=SECONDS)))


def greeted(socket: ClientConnection) -> ClientConnection:
    assert [told(socket)["type"], told(socket)["data"]] == ["connected", "running"]
    return socket


def closed(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason once it is closed, whatever comes before."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=SECONDS)
    return socket.close_code or 0, socket.close_reason or ""


def until(true: Callable[[], Any]) -> None:
    ends = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@contextlib.contextmanager
def in_thread(application: Any) -> Iterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        application,
        port=0,
        ws="websockets-sansio",
        ws_max_size=FRAME_LIMIT,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    fake = FakeAgent()
    with serve(fake.serve, "127.0.0.1", 0, process_request=fake.before) as server:
        fake.port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@pytest.fixture
def api(agent: FakeAgent) -> FakeApi:
    return FakeApi(agent)


@pytest.fixture
def limits() -> dict[str, Any]:
    """Settings of the relay that a test has otherwise."""
    return {}


@dataclass
class Switch:
    """One server for all tests: what it serves is the test's."""

    server: uvicorn.Server | None = None
    port: int = 0
    application: Starlette | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.application is not None
        await self.application(scope, receive, send)


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    switch = Switch()
    with in_thread(switch) as (switch.server, switch.port):
        yield switch


@pytest.fixture
def relay(api: FakeApi, limits: dict[str, Any], switch: Switch) -> Iterator[Running]:
    patience = Patience(creating_seconds=3, poll_seconds=1, pause_seconds=0.05)
    keys = Keys(public_key_of(KEY), relay_key(KEY))
    url = f"http://127.0.0.1:{switch.port}/api"
    defaults: dict[str, Any] = {"api_url": url, "keys": keys, "origins": (ORIGIN,), "patience": patience}
    made = Relay(RelaySettings(**defaults | limits)).application()
    switch.application = Starlette(routes=[*api.routes(), *made.routes])
    assert switch.server is not None
    yield Running(f"ws://127.0.0.1:{switch.port}", api, api.agent, switch.server, made)
    until(lambda: not switch.server.server_state.tasks)  # type: ignore[union-attr]
