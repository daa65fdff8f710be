"""WebSocket events: what API Gateway says of a connection comes in, admission or an HTTP refusal goes out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalice.app import Response, WebsocketEvent

from chalicelib.contract.handshakes import chosen_protocol, shown
from chalicelib.contract.tracing import bound
from chalicelib.domain.errors import BerthError, OriginNotAllowed, Unauthorized
from chalicelib.domain.identity import Caller, Scope
from chalicelib.edge.answers import Answer, broken, refusal

if TYPE_CHECKING:
    from chalicelib.services.rates import Rates
    from chalicelib.services.subscriptions import Subscriptions
    from chalicelib.services.tokens import Tokens

log = logging.getLogger("berth.sockets")


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """What admits connections."""

    tokens: Tokens
    subscriptions: Subscriptions
    origins: tuple[str, ...]
    rates: Rates


@dataclass(frozen=True, slots=True)
class _Handshake:
    headers: Mapping[str, str]
    query: Mapping[str, str]
    address: str

    @property
    def protocols(self) -> list[str]:
        return [each.strip() for each in self.headers.get("sec-websocket-protocol", "").split(",")]


def connect(event: WebsocketEvent, doorkeeper: Doorkeeper) -> Response:
    """Admit the connection (200, with the protocol version chosen) or refuse it before the upgrade."""
    raw = event.to_dict()
    with bound(**_ids(raw)):
        return _answered(event.connection_id, _handshake(raw), doorkeeper)


def _answered(connection_id: str, handshake: _Handshake, doorkeeper: Doorkeeper) -> Response:
    try:
        _check_origin(handshake, doorkeeper.origins)
        caller = _admitted(handshake, doorkeeper)
        caller.require(Scope.READ)
        doorkeeper.subscriptions.open(caller, connection_id)
    except BerthError as error:
        return _response(refusal(error))
    except Exception:
        log.exception("connect broke")
        return _response(broken())
    return Response(body="", status_code=200, headers={**_chosen_protocol(handshake)})


def message(event: WebsocketEvent, subscriptions: Subscriptions) -> None:
    """Answer one frame of the client on its own connection."""
    with bound(**_ids(event.to_dict())):
        subscriptions.receive(event.connection_id, event.body)


def disconnect(event: WebsocketEvent, subscriptions: Subscriptions) -> None:
    """Forget a connection that was closed."""
    with bound(**_ids(event.to_dict())):
        subscriptions.close(event.connection_id)


def _ids(raw: dict[str, Any]) -> dict[str, str]:
    context = raw.get("requestContext", {})
    return {"connection": context.get("connectionId", ""), "trace": context.get("requestId", "")}


def _handshake(raw: dict[str, Any]) -> _Handshake:
    headers = {name.lower(): value for name, value in (raw.get("headers") or {}).items()}
    identity = raw.get("requestContext", {}).get("identity") or {}
    return _Handshake(headers, raw.get("queryStringParameters") or {}, identity.get("sourceIp", ""))


def _check_origin(handshake: _Handshake, allowed: tuple[str, ...]) -> None:
    """Browsers always send their page's origin; other clients send none."""
    origin = handshake.headers.get("origin")
    if origin is not None and origin not in allowed:
        raise OriginNotAllowed


def _admitted(handshake: _Handshake, doorkeeper: Doorkeeper) -> Caller:
    """The caller, counted by token; a refusal is counted by address. RateLimited comes before the rest."""
    try:
        caller = _caller(handshake, doorkeeper.tokens)
    except Unauthorized:
        doorkeeper.rates.unauthenticated(handshake.address)
        raise
    doorkeeper.rates.request(caller)
    return caller


def _caller(handshake: _Handshake, tokens: Tokens) -> Caller:
    """Who shows a token or a ticket, or Unauthorized."""
    credential = shown(handshake.headers, handshake.protocols, handshake.query)
    if credential.ticket:
        return tokens.caller_of_ticket(credential.ticket)
    return tokens.caller(credential.token)


def _chosen_protocol(handshake: _Handshake) -> dict[str, str]:
    chosen = chosen_protocol(handshake.protocols)
    return {"Sec-WebSocket-Protocol": chosen} if chosen else {}


def _response(answered: Answer) -> Response:
    return Response(body=answered.body, status_code=answered.status, headers=dict(answered.headers))
