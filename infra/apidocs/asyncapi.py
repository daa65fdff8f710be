"""AsyncAPI 3.0 of the WebSocket: the models of frames come in, the document goes out."""

from typing import Any

from chalicelib.version import VERSION
from infra.apidocs.frames import CLIENT_FRAMES, SERVER_FRAMES
from infra.apidocs.openapi import schemas

_CREDENTIALS = (
    "The first that is present: the header `Authorization: Bearer <token>`, the subprotocols `berth.v1, "
    "berth.token.<token>` (or `rexec.v1, rexec.token.<token>`), `?token=`, or a one-use `?ticket=` (`POST /tickets`). "
    "Refused with 401, 403 (origin, scope) or 429 (connections) before the upgrade."
)


def document() -> dict[str, Any]:
    """The whole document, as JSON-ready values."""
    names = [frame.__name__ for frame in (*SERVER_FRAMES, *CLIENT_FRAMES)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Berth container events",
            "version": VERSION,
            "description": "Text frames of JSON. The first is the list; then every change of the user's containers, "
            "numbered per container by `seq`: drop what you have, and ask `GET …/events?after=` where one is missing. "
            f"{_CREDENTIALS} Frames are at most 32 KB; a connection lives 2 hours, or 10 minutes of silence.",
            "license": {"name": "MIT"},
        },
        "channels": {
            "events": {
                "address": "/api",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "push": _operation("send", [frame.__name__ for frame in SERVER_FRAMES]),
            "ask": _operation("receive", [frame.__name__ for frame in CLIENT_FRAMES]),
        },
        "components": {
            "messages": {
                frame.__name__: {
                    "contentType": "application/json",
                    "summary": (frame.__doc__ or "").strip(),
                    "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
                }
                for frame in (*SERVER_FRAMES, *CLIENT_FRAMES)
            },
            "schemas": schemas([*SERVER_FRAMES, *CLIENT_FRAMES], "serialization"),
        },
    }


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/events"},
        "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in names],
    }
