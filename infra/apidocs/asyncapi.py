"""AsyncAPI 3.0 of the WebSockets: the models of frames come in, the document goes out."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from chalicelib.version import VERSION
from infra.apidocs import frames, terminal_frames
from infra.apidocs.openapi import schemas

_CREDENTIALS = (
    "The first that is present: the header `Authorization: Bearer <token>`, the subprotocols `berth.v1, "
    "berth.token.<token>` (or `rexec.v1, rexec.token.<token>`), `?token=`, or a one-use `?ticket=` (`POST /tickets`). "
    "Refused with 401, 403 (origin, scope) or 429 (connections) before the upgrade."
)


@dataclass(frozen=True, slots=True)
class Socket:
    """One WebSocket: where it is, and what either side sends."""

    name: str
    address: str
    description: str
    server: tuple[type[BaseModel], ...]
    client: tuple[type[BaseModel], ...]
    push: str
    """Names of the two operations."""
    ask: str

    @property
    def both(self) -> dict[str, type[BaseModel]]:
        """All frames by name."""
        return {frame.__name__: frame for frame in (*self.server, *self.client)}


SOCKETS = (
    Socket(
        "events",
        "/api",
        "Text frames of JSON. The first is the list; then every change of the user's containers, "
        "numbered per container by `seq`: drop what you have, and ask `GET …/events?after=` where one is missing. "
        f"{_CREDENTIALS} Frames are at most 32 KB; a connection lives 2 hours, or 10 minutes of silence.",
        frames.SERVER_FRAMES,
        frames.CLIENT_FRAMES,
        "push",
        "ask",
    ),
    Socket(
        "terminal",
        "/ws/terminal/{container_id}",
        "A login shell in a running container, on the relay's own host. By a token with the scope `exec`, given in the "
        "same ways, or by the `?ticket=` of `POST /containers/{id}/terminal`. With `?raw=1` the server's frames are what "
        "was printed and nothing else; `id`, `newSession`, `cols`, `rows` and `user` are as the guide says. Frames of the "
        "client may be binary.",
        terminal_frames.SERVER_FRAMES,
        terminal_frames.CLIENT_FRAMES,
        "show",
        "type",
    ),
)


def document() -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    every = {name: frame for socket in SOCKETS for name, frame in socket.both.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Berth's WebSockets",
            "version": VERSION,
            "description": " ".join(f"{socket.name.capitalize()}: {socket.description}" for socket in SOCKETS),
            "license": {"name": "MIT"},
        },
        "channels": {socket.name: _channel(socket) for socket in SOCKETS},
        "operations": {name: operation for socket in SOCKETS for name, operation in _operations(socket).items()},
        "components": {
            "messages": {name: _message(name, frame) for name, frame in every.items()},
            "schemas": schemas(list(every.values()), "serialization"),
        },
    }


def _channel(socket: Socket) -> dict[str, Any]:
    parameters = {"container_id": {"description": "Its id."}} if "{" in socket.address else None
    return {
        "address": socket.address,
        "description": socket.description,
        **({"parameters": parameters} if parameters else {}),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in socket.both},
    }


def _message(name: str, frame: type[BaseModel]) -> dict[str, Any]:
    return {
        "contentType": "application/json",
        "summary": (frame.__doc__ or "").strip(),
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _operations(socket: Socket) -> dict[str, Any]:
    return {
        socket.push: _operation("send", socket, socket.server),
        socket.ask: _operation("receive", socket, socket.client),
    }


def _operation(action: str, socket: Socket, sent: tuple[type[BaseModel], ...]) -> dict[str, Any]:
    channel = f"#/channels/{socket.name}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{frame.__name__}"} for frame in sent],
    }
