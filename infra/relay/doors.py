"""Who may come in: a WebSocket's upgrade comes in, the caller's credential goes out, or a refusal.

Credentials, the first that is present, as on the events socket: the Authorization header, a subprotocol
`berth.token.<t>` (or Rexec's `rexec.token.<t>`), the query `?token=`, a one-use `?ticket=`.
"""

import re
from dataclasses import dataclass

from starlette.websockets import WebSocket

from infra.relay.refusals import not_found, refused, unauthorized

DIALECTS = ("berth", "rexec")
USERS = ("", "root", "user")

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")
"""What may stand in a header: nothing else is sent on."""


@dataclass(frozen=True, slots=True)
class Knock:
    """One client before the door, with a token or with a ticket."""

    container: str
    """As the client calls it: the id with a ticket, what the API knows with a token."""
    token: str
    ticket: str
    user: str
    """Whom the shell is to be of; empty for whom the container has."""


def knock(socket: WebSocket, origins: tuple[str, ...]) -> Knock:
    """Who comes with what, or Refused."""
    origin = socket.headers.get("origin")
    if origin is not None and origin not in origins:
        raise refused(403, "origin_not_allowed", "origin not allowed")
    token, ticket = _credential(socket)
    if not _CREDENTIAL.fullmatch(token or ticket):
        raise unauthorized()
    container = socket.path_params["container_id"]
    if not _REFERENCE.fullmatch(container):
        raise not_found()
    user = socket.query_params.get("user", "")
    if user not in USERS:
        raise refused(400, "invalid_request", "unsupported user")
    return Knock(container, token, ticket, user)


def chosen_protocol(socket: WebSocket) -> str | None:
    """The version to echo, of those offered."""
    versions = [f"{dialect}.v1" for dialect in DIALECTS]
    return next((each for each in socket.scope["subprotocols"] if each in versions), None)


def _credential(socket: WebSocket) -> tuple[str, str]:
    """A token or a ticket; the other is empty, and both are when nothing is there."""
    if "authorization" in socket.headers:
        scheme, _, token = socket.headers["authorization"].partition(" ")
        return (token.strip() if scheme.lower() == "bearer" else ""), ""
    for protocol in socket.scope["subprotocols"]:
        dialect, _, token = protocol.partition(".token.")
        if dialect in DIALECTS and token:
            return token, ""
    if "token" in socket.query_params:
        return socket.query_params["token"], ""
    return "", socket.query_params.get("ticket", "")
