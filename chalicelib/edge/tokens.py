"""Views of `/tokens`, `/tickets` and `/auth/guest`: a call comes in, the contract's answer goes out."""

from chalicelib.domain.identity import Scope
from chalicelib.edge.answers import Answer
from chalicelib.edge.containers import Api
from chalicelib.edge.http import Call
from chalicelib.edge.payloads import TicketShape, guest_request, token_request
from chalicelib.edge.shapes import shaped


def mint(call: Call, api: Api) -> Answer:
    """`POST /tokens`: 201 with the secret, this once."""
    caller = call.caller(api.tokens, Scope.WRITE)
    return Answer(201, api.tokens.mint(caller, *token_request(call.document())))


def list_all(call: Call, api: Api) -> Answer:
    """`GET /tokens`."""
    return Answer(200, api.tokens.list(call.caller(api.tokens, Scope.READ)))


def revoke(call: Call, api: Api) -> Answer:
    """`DELETE /tokens/{id}`."""
    caller = call.caller(api.tokens, Scope.WRITE)
    return Answer(200, api.tokens.revoke(caller, call.path["token_id"]))


def ticket(call: Call, api: Api) -> Answer:
    """`POST /tickets`: a one-use ticket for the WebSocket."""
    caller = call.caller(api.tokens, Scope.READ)
    shaped(TicketShape, call.document_if_any())
    return Answer(201, api.tokens.ticket(caller))


def guest(call: Call, api: Api) -> Answer:
    """`POST /auth/guest`: needs no token."""
    call.anybody()
    return Answer(200, api.tokens.guest(call.address, guest_request(call.document_if_any())))
