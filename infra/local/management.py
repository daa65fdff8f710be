"""`@connections`: signed calls of functions come in, frames go out to clients, or 410 when nobody is there."""

import json
from datetime import datetime
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from infra.local.sockets import MESSAGE_LIMIT, Connection, SocketGateway

POLICY_VIOLATION = 1008
_SIGNED = "AWS4-HMAC-SHA256 Credential="


class Management:
    """The management API of one WebSocket API."""

    def __init__(self, gateway: SocketGateway) -> None:
        self._gateway = gateway

    async def handle(self, request: Request) -> Response:
        """POST sends, GET tells, DELETE closes."""
        if not request.headers.get("authorization", "").startswith(_SIGNED):
            return _refusal(403, "ForbiddenException", "Missing Authentication Token")
        connection = self._gateway.connections.get(unquote(request.path_params["connection_id"]))
        if connection is None:
            return _refusal(410, "GoneException", "")
        if request.method == "POST":
            return await self._send(connection, await request.body())
        if request.method == "DELETE":
            connection.close(POLICY_VIOLATION)
            return Response(status_code=204)
        return Response(json.dumps(_described(connection)), 200, {"content-type": "application/json"})

    async def _send(self, connection: Connection, body: bytes) -> Response:
        if len(body) > MESSAGE_LIMIT:
            return _refusal(413, "PayloadTooLargeException", "Message too long")
        try:
            await connection.socket.send_text(body.decode(errors="replace"))
        except (RuntimeError, WebSocketDisconnect):
            return _refusal(410, "GoneException", "")
        connection.touched()
        return Response(status_code=200)


def _described(connection: Connection) -> dict[str, object]:
    return {
        "connectedAt": _iso(connection.connected_at),
        "identity": connection.request["identity"],
        "lastActiveAt": _iso(connection.last_active_at),
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refusal(status: int, kind: str, message: str) -> Response:
    headers = {"content-type": "application/json", "x-amzn-ErrorType": kind}
    return Response(json.dumps({"message": message}), status, headers)
