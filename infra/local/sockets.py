"""API Gateway's WebSocket side: upgrades and frames come in, `$connect`, `$default` and `$disconnect` are called.

Also `@connections`, by which functions write to connections: see `management`.
"""

import asyncio
import base64
import contextlib
import json
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from infra.local.functions import Functions, Outcome
from infra.local.rest import header_maps, query_maps

CONNECT, MESSAGE, DISCONNECT = "websocket_connect", "websocket_message", "websocket_disconnect"

FRAME_LIMIT = 32 * 1024
MESSAGE_LIMIT = 128 * 1024


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Seconds of silence and of life after which a connection is closed, as on AWS."""

    idle_seconds: float = 600.0
    lifetime_seconds: float = 7200.0


@dataclass(slots=True, eq=False)
class Connection:
    """One open connection."""

    id: str
    socket: WebSocket
    request: dict[str, Any]
    connected_at: datetime
    last_active_at: datetime
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int = 1000

    def touched(self) -> None:
        """Something was sent or received."""
        self.last_active_at = datetime.now(UTC)

    def close(self, code: int) -> None:
        """Have it closed with this code."""
        self.close_code = code
        self.closing.set()


class SocketGateway:
    """One WebSocket API on its stage."""

    def __init__(self, functions: Functions, stage: str, limits: SocketLimits) -> None:
        self._functions = functions
        self._stage = stage
        self._limits = limits
        self.connections: dict[str, Connection] = {}
        self.drop_disconnects = False
        self._handlers: frozenset[str] = frozenset()

    def learn(self, description: dict[str, Any]) -> None:
        """Take the socket handlers of an app (again)."""
        self._handlers = frozenset(description["sockets"])

    async def handle(self, socket: WebSocket) -> None:
        """Serve one client from its upgrade to its end."""
        connection = _new_connection(socket)
        outcome = await self._connect(connection)
        status = _status(outcome)
        if status >= 300:
            await socket.send_denial_response(Response("", status))
            return
        headers = (outcome.result or {}).get("headers") or {}
        chosen = next((value for name, value in headers.items() if name.lower() == "sec-websocket-protocol"), None)
        try:
            await socket.accept(subprotocol=chosen)
        except RuntimeError:
            return
        self.connections[connection.id] = connection
        try:
            await self._serve(connection)
        finally:
            self.connections.pop(connection.id, None)
            await self._disconnect(connection)

    async def _connect(self, connection: Connection) -> Outcome:
        if "$connect" not in self._handlers:
            return Outcome(result={"statusCode": 200})
        headers, multi = header_maps(connection.socket.headers.items())
        query, multi_query = query_maps(connection.socket.query_params.multi_items())
        event = {
            "headers": headers,
            "multiValueHeaders": multi,
            "queryStringParameters": query,
            "multiValueQueryStringParameters": multi_query,
            "requestContext": self._context(connection, "$connect", "CONNECT"),
            "isBase64Encoded": False,
        }
        return await self._functions.invoke(CONNECT, event)

    async def _serve(self, connection: Connection) -> None:
        """Read frames until one side ends it; each is handled on its own, as on AWS."""
        reading = asyncio.create_task(self._read(connection))
        closing = asyncio.create_task(self._closed(connection))
        await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (reading, closing):
            task.cancel()
        await asyncio.gather(reading, closing, return_exceptions=True)
        if connection.socket.client_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await connection.socket.close(connection.close_code)

    async def _closed(self, connection: Connection) -> None:
        """Until it is to be closed: by a function, for its silence or for its age."""
        ends = time.monotonic() + self._limits.lifetime_seconds
        while time.monotonic() < ends:
            silent = (datetime.now(UTC) - connection.last_active_at).total_seconds()
            left = min(self._limits.idle_seconds - silent, ends - time.monotonic())
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(connection.closing.wait(), left)
                return
        connection.close_code = 1001

    async def _read(self, connection: Connection) -> None:
        handling: set[asyncio.Task[None]] = set()
        while True:
            message = await connection.socket.receive()
            if message["type"] == "websocket.disconnect":
                connection.close_code = message.get("code") or 1005
                return
            connection.touched()
            text = message.get("text")
            if text is None:
                connection.close_code = 1003
                return
            task = asyncio.create_task(self._message(connection, text))
            handling.add(task)
            task.add_done_callback(handling.discard)

    async def _message(self, connection: Connection, text: str) -> None:
        context = self._context(connection, "$default", "MESSAGE") | {"messageId": _new_id()}
        event = {"requestContext": context, "body": text, "isBase64Encoded": False}
        outcome = await self._functions.invoke(MESSAGE, event)
        if not outcome.ok:
            error = {
                "message": "Internal server error",
                "connectionId": connection.id,
                "requestId": context["requestId"],
            }
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await connection.socket.send_text(json.dumps(error))

    async def _disconnect(self, connection: Connection) -> None:
        if self.drop_disconnects or "$disconnect" not in self._handlers:
            return
        context = self._context(connection, "$disconnect", "DISCONNECT")
        context |= {"disconnectStatusCode": connection.close_code, "disconnectReason": ""}
        event = {"headers": {}, "multiValueHeaders": {}, "requestContext": context, "isBase64Encoded": False}
        await asyncio.shield(self._functions.invoke(DISCONNECT, event))

    def _context(self, connection: Connection, route: str, kind: str) -> dict[str, Any]:
        return {
            "routeKey": route,
            "eventType": kind,
            "messageDirection": "IN",
            "stage": self._stage,
            "connectionId": connection.id,
            "connectedAt": int(connection.connected_at.timestamp() * 1000),
            "requestTimeEpoch": int(time.time() * 1000),
            "requestId": str(uuid.uuid4()),
            "apiId": "local",
            "domainName": connection.request["domain"],
            "identity": connection.request["identity"],
        }


def stage_paths(stage: str, extra: Sequence[str]) -> list[str]:
    """Where clients may connect: the stage, as on AWS, and what the deployment adds in front of it."""
    return [f"/{stage}", f"/{stage}/", *extra]


def _new_connection(socket: WebSocket) -> Connection:
    now = datetime.now(UTC)
    identity = {
        "sourceIp": socket.client.host if socket.client else "127.0.0.1",
        "userAgent": socket.headers.get("user-agent"),
    }
    request = {"domain": socket.headers.get("host", "localhost"), "identity": identity}
    return Connection(_new_id(), socket, request, now, now)


def _new_id() -> str:
    """An id as API Gateway gives them: base64, with its padding."""
    return base64.urlsafe_b64encode(os.urandom(11)).decode()


def _status(outcome: Outcome) -> int:
    if not outcome.ok or not isinstance(outcome.result, dict):
        return 502
    return int(outcome.result.get("statusCode", 502))
