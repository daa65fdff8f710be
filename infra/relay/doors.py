"""Who may come in: a WebSocket's upgrade comes in, the caller's credential goes out, or a refusal."""

import re
from dataclasses import dataclass

from starlette.websockets import WebSocket

from chalicelib.contract.handshakes import Shown, chosen_protocol, shown
from infra.relay.refusals import not_found, refused, unauthorized

USERS = ("", "root", "user")

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")
"""What may stand in a header: nothing else is sent on."""


@dataclass(frozen=True, slots=True)
class Knock:
    """One client before the door, with a token or with a ticket."""

    container: str
    """As the client calls it: the id with a ticket, what the API knows with a token."""
    shown: Shown
    user: str
    """Whom the shell is to be of; empty for whom the container has."""


def knock(socket: WebSocket, origins: tuple[str, ...]) -> Knock:
    """Who comes with what, or Refused."""
    origin = socket.headers.get("origin")
    if origin is not None and origin not in origins:
        raise refused(403, "origin_not_allowed", "origin not allowed")
    found = shown(socket.headers, socket.scope["subprotocols"], socket.query_params)
    if not _CREDENTIAL.fullmatch(found.token or found.ticket):
        raise unauthorized()
    container = socket.path_params["container_id"]
    if not _REFERENCE.fullmatch(container):
        raise not_found()
    user = socket.query_params.get("user", "")
    if user not in USERS:
        raise refused(400, "invalid_request", "unsupported user")
    return Knock(container, found, user)


def echoed(socket: WebSocket) -> str | None:
    """The protocol to let it in with, of those offered."""
    return chosen_protocol(socket.scope["subprotocols"])
