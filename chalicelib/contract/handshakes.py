"""Upgrades of WebSockets: headers, protocols and query come in, the credential shown and the protocol to echo go out.

Credentials, the first that is present: the Authorization header, a subprotocol `berth.token.<t>` (or Rexec's
`rexec.token.<t>`), the query `?token=`, a one-use `?ticket=`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DIALECTS = ("berth", "rexec")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client showed: a token or a ticket, of which the other is empty; both are where there was nothing."""

    token: str = ""
    ticket: str = ""


def shown(headers: Mapping[str, str], protocols: Sequence[str], query: Mapping[str, str]) -> Shown:
    """The credential of an upgrade; names of headers are in small letters."""
    if "authorization" in headers:
        return Shown(token=bearer_of(headers["authorization"]))
    for protocol in protocols:
        dialect, found, token = protocol.partition(".token.")
        if found and dialect in DIALECTS:
            return Shown(token=token)
    if "token" in query:
        return Shown(token=query["token"])
    return Shown(ticket=query.get("ticket", ""))


def bearer_of(header: str) -> str:
    """The token in an Authorization header; empty where it has none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def chosen_protocol(offered: Sequence[str]) -> str | None:
    """The version to echo, of those offered."""
    versions = [f"{dialect}.v1" for dialect in DIALECTS]
    return next((each for each in offered if each in versions), None)
