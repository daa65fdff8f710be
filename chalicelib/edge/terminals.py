"""The view of `/containers/{id}/terminal`: a call comes in, a ticket and where to take it go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib.domain.errors import Refused
from chalicelib.domain.identity import Scope
from chalicelib.edge.answers import Answer
from chalicelib.edge.payloads import inside_user
from chalicelib.edge.shapes import Shape, shaped

if TYPE_CHECKING:
    from chalicelib.edge.containers import Api
    from chalicelib.edge.http import Call


class TerminalShape(Shape):
    """Members of the body of `POST /containers/{id}/terminal`."""

    user: str = ""


class CheckShape(Shape):
    """Members of the body of `POST /terminals/check`."""

    ticket: str


def check(call: Call, api: Api) -> Answer:
    """`POST /terminals/check`: relays ask, of connections that are open; the ticket is all that it takes."""
    try:
        caller, container_id = api.terminals().holder(shaped(CheckShape, call.document()).ticket)
    except Refused:  # whoever sends no good ticket is nobody
        call.anybody()
        raise
    call.rates.request(caller)
    caller.require(Scope.EXEC)
    return Answer(200, {"message": "access holds", "id": api.lifecycle.find(caller, container_id).id})


def admit(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/terminal`: a one-use ticket for the terminal's WebSocket."""
    caller = call.caller(api.tokens, Scope.EXEC)
    user = inside_user(shaped(TerminalShape, call.document_if_any()).user)
    return Answer(200, api.terminals().admit(caller, call.path["container_id"], user))
