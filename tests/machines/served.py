"""The application itself over a world of fakes: one REST request comes in as Lambda gets it, the answer goes out."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from chalice.app import WebsocketEvent

import app as berth
from chalicelib import wiring
from chalicelib.contract.agent_api import FileDeed
from chalicelib.domain.identity import Scope
from chalicelib.edge import sockets
from chalicelib.edge.containers import Api
from chalicelib.edge.sockets import Doorkeeper
from tests.fakes.world import World

SOURCE = "203.0.113.7"
ORIGIN = "https://console.example.org"

READING = (FileDeed.LIST, FileDeed.READ)

ORDINARY = (Scope.READ, Scope.WRITE, Scope.EXEC)
"""What the operator gives a user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets."""

    status: int
    body: Any
    """An object, but for lists below some base paths."""
    headers: dict[str, str]

    @property
    def alike(self) -> tuple[Any, ...]:
        """All of it that may not differ between what is another's and what never was."""
        kept = {name: value for name, value in self.headers.items() if name.lower() != "x-request-id"}
        return self.status, self.body, kept


class Served:
    """A world whose services the application's views use."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        world = self.world
        self.api = Api(
            world.lifecycle,
            world.reconfiguration,
            world.execution,
            lambda: world.files,
            lambda: world.terminals,
            lambda: world.usage,
            world.tokens,
            world.rates,
        )
        self.doorkeeper = Doorkeeper(self.world.tokens, self.world.subscriptions, (ORIGIN,), self.world.rates)
        self._requests = 0

    @contextmanager
    def on(self) -> Iterator["Served"]:
        """While inside, this is what answers the application's requests."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wiring, "api", lambda: self.api)
            yield self

    def user(self, tier: str = "free", scopes: tuple[Scope, ...] = ORDINARY) -> str:
        """The token of a new user."""
        return str(self.world.tokens.first_of_user(tier, scopes, "test")["token"])

    def __call__(
        self,
        method: str,
        route: str,
        token: str | None = None,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        address: str = SOURCE,
        below: str = "api",
    ) -> Answer:
        """One request to a route, in the way API Gateway hands it over."""
        self._requests += 1
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        event = {
            "requestContext": {
                "httpMethod": method,
                "resourcePath": route,
                "path": f"/{below}{route}",
                "requestId": f"request-{self._requests}",
                "identity": {"sourceIp": address},
            },
            "headers": sent,
            "pathParameters": path,
            "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
            "body": None if body is None else base64.b64encode(_sent(body)).decode(),
            "isBase64Encoded": body is not None,
            "stageVariables": None,
        }
        answered = berth.app(event, object())
        answered_headers = {name: str(value) for name, value in answered["headers"].items()}
        assert answered_headers["X-Request-Id"] == f"request-{self._requests}"
        return Answer(answered["statusCode"], _body(answered), answered_headers)

    def written(self) -> dict[str, Any]:
        """A copy of all that a request may write, rate counters left out."""
        world = self.world
        return deepcopy(
            {
                "records": world.containers.records,
                "names": world.containers.names,
                "live": world.containers.live,
                "keys": world.containers.keys,
                "log": world.containers.log,
                "hosts": world.hosts.rows,
                "tokens": world.tokens_store.rows,
                "tickets": world.tokens_store.tickets,
                "guests": world.tokens_store.guests,
                "connections": world.connections.rows,
                "run": world.agents.run_calls,
                "filed": [call for _, call in world.agents.file_calls if call.deed not in READING],
                "commands": world.commands.sent,
                "events": world.events.sent,
                "heard": world.sockets.heard,
                "closed": world.sockets.closed,
            }
        )

    def connect(self, connection_id: str, **handshake: Any) -> int:
        """The status of a WebSocket handshake with these `headers` and `query`."""
        event = {
            "requestContext": {"connectionId": connection_id, "domainName": "d", "stage": "api"},
            "headers": handshake.get("headers"),
            "queryStringParameters": handshake.get("query"),
        }
        return int(sockets.connect(WebsocketEvent(event, None), self.doorkeeper).status_code)


def _sent(body: Any) -> bytes:
    """Bytes as they are, else JSON."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _body(answered: dict[str, Any]) -> Any:
    """The JSON of an answer; a page for people as its text, a file as its bytes."""
    if answered.get("isBase64Encoded"):
        return {"bytes": base64.b64decode(answered["body"])}
    if answered["headers"]["Content-Type"] != "application/json":
        return {"page": answered["body"]}
    return json.loads(answered["body"])
