"""Terminal tickets: what a user may open comes in, a signed ticket goes out; agents and relays read it again.

A ticket is an EdDSA token of the control plane for one terminal in one container on one host. Users carry it to the
relay wrapped: which host a container is on, and where that is, is not for them to know.
"""

import base64
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import ValidationError

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.model import Traced
from chalicelib.contract.signatures import CALL_SECONDS, BadSignature, raw_private_key, read_token, sign_token

TICKET_SECONDS = CALL_SECONDS
"""Life of a ticket (api-contract), that of every token of the control plane; a host takes it once."""

_AUDIENCE = "berth-terminal"
"""Never the id of a host: a ticket is no call, and a call no ticket."""


class Grant(Traced):
    """What a ticket lets its holder do."""

    host_id: str
    endpoint: str
    """Where the host's agent is, for the relay."""
    container_id: str
    user_id: str
    generation: int
    user: ExecUser | None = None
    """None: `user` where the image has such a user, else root."""
    token_hash: str = ""
    """Of the token that it was given for, by which the control plane says later whether that is still good."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that was read."""

    id: str
    """For the host to refuse repeats of."""
    grant: Grant


def sign_ticket(grant: Grant, private_pem: str, ticket_id: str, issued_at: int) -> str:
    """The ticket; `issued_at` in seconds since the epoch."""
    about = {"grant": grant.model_dump(mode="json")}
    return sign_token(about, private_pem=private_pem, audience=_AUDIENCE, token_id=ticket_id, issued_at=issued_at)


def read_ticket(token: str, public_pem: str, *, of_any_age: bool = False) -> Ticket:
    """A ticket that is right and of now, or BadSignature. Which container and host it is for, callers compare."""
    claims = read_token(token, public_pem=public_pem, audience=_AUDIENCE, of_any_age=of_any_age)
    try:
        return Ticket(str(claims["jti"]), Grant.model_validate(claims["grant"]))
    except (ValidationError, KeyError) as error:
        raise BadSignature("ticket refused") from error


def relay_key(private_pem: str) -> str:
    """The key that the control plane and its relays share: drawn from the control plane's own, and not telling it."""
    drawn = HKDF(SHA256(), 32, salt=None, info=b"berth-relay-1").derive(raw_private_key(private_pem))
    return base64.urlsafe_b64encode(drawn).decode()


def wrap(ticket: str, key: str) -> str:
    """The ticket as users carry it."""
    return Fernet(key).encrypt(ticket.encode()).decode()


def unwrap(text: str, key: str) -> str:
    """The ticket in it; BadSignature when it was not wrapped with this key."""
    try:
        return Fernet(key).decrypt(text.encode()).decode()
    except (InvalidToken, UnicodeError) as error:
        raise BadSignature("no ticket of ours") from error
