"""Who said it: keys and messages come in, signed calls and envelopes go out, or BadSignature.

Calls control plane → agent are EdDSA tokens bound to host, method, path and body, valid for a minute at most.
Events travel in an envelope signed with the Ed25519 key of the host, or of the control plane (`CONTROL_PLANE`).
Where a public key is expected there may be several, one PEM block after the other: what any of them signed is right.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

import jwt
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from chalicelib.contract.events import Event
from chalicelib.contract.model import Message
from chalicelib.contract.readable import read_event

CONTROL_PLANE = "control-plane"
"""The signer's name of the control plane; no host may have it."""

CALL_SECONDS = 60
"""Longest life of a signed call, seconds (reliability §4.6)."""

_BLOCK = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


class BadSignature(Exception):
    """The message is not by whom it says, or not for us, or not of now."""


class Envelope(Message):
    """An event as it lies in the queue: `event` is JSON text, signed as it stands."""

    v: Literal[1] = 1
    signer: str
    event: str
    signature: str


def new_private_key() -> str:
    """A fresh Ed25519 private key, PEM."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def public_key_of(private_pem: str) -> str:
    """The public half of a private key, PEM."""
    public = _private(private_pem).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def raw_private_key(private_pem: str) -> bytes:
    """The 32 bytes of it, for other keys to be drawn from."""
    return _private(private_pem).private_bytes_raw()


def seal(event: Event, signer: str, private_pem: str) -> str:
    """The body for the queue: the event in an envelope signed by `signer`."""
    return seal_text(event.model_dump_json(exclude_none=True), signer, private_pem)


def seal_text(text: str, signer: str, private_pem: str) -> str:
    """The same of an event that the signer itself need not be able to read."""
    signature = _private(private_pem).sign(_signed_bytes(signer, text))
    encoded = base64.urlsafe_b64encode(signature).decode()
    return Envelope(signer=signer, event=text, signature=encoded).model_dump_json()


def parse_envelope(body: str) -> Envelope:
    """The envelope in a queue body, still unverified, or BadSignature when it is none."""
    try:
        return Envelope.model_validate_json(body)
    except ValidationError as error:
        raise BadSignature("not an envelope") from error


def unseal(envelope: Envelope, public_pem: str) -> Event:
    """The event inside, once the signature is seen to be right; BadSignature otherwise.

    One that is rightly signed and cannot be read, of a newer version perhaps, is pydantic's ValidationError; a batch
    of which some can be read is a `PartOfBatch`.
    """
    if not any(_is_by(pem, envelope) for pem in public_keys(public_pem)):
        raise BadSignature(f"event by {envelope.signer!r} refused")
    return read_event(envelope.event)


def _is_by(public_pem: str, envelope: Envelope) -> bool:
    try:
        signature = base64.urlsafe_b64decode(envelope.signature)
        _public(public_pem).verify(signature, _signed_bytes(envelope.signer, envelope.event))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def sign_call(  # noqa: PLR0913 - one argument per bound part of the call
    *, private_pem: str, host_id: str, method: str, path: str, body: bytes, call_id: str, issued_at: int
) -> str:
    """The bearer token of one call to one host; `issued_at` in seconds since the epoch."""
    about = {"method": method, "path": path, "sha256": hashlib.sha256(body).hexdigest()}
    return sign_token(about, private_pem=private_pem, audience=host_id, token_id=call_id, issued_at=issued_at)


def verify_call(*, token: str, public_pem: str, host_id: str, method: str, path: str, body: bytes) -> str:
    """The id (`jti`) of a rightly signed call, for the caller to refuse repeats of; BadSignature otherwise."""
    claims = read_token(token, public_pem=public_pem, audience=host_id)
    bound = (claims.get("method"), claims.get("path"), claims.get("sha256"))
    if bound != (method, path, hashlib.sha256(body).hexdigest()):
        raise BadSignature("token was made for another call")
    return str(claims["jti"])


def sign_token(about: Mapping[str, Any], *, private_pem: str, audience: str, token_id: str, issued_at: int) -> str:
    """The control plane's token that says `about`, good for CALL_SECONDS from `issued_at`, seconds since the epoch."""
    claims = {
        "aud": audience,
        "iss": CONTROL_PLANE,
        "iat": issued_at,
        "exp": issued_at + CALL_SECONDS,
        "jti": token_id,
        **about,
    }
    return jwt.encode(claims, private_pem, algorithm="EdDSA")


def read_token(token: str, *, public_pem: str, audience: str, of_any_age: bool = False) -> dict[str, Any]:
    """The claims of a token that is right, for this audience and of now; BadSignature otherwise."""
    claims = _claims(token, public_pem, audience, of_any_age=of_any_age)
    if claims["exp"] - claims["iat"] > CALL_SECONDS:
        raise BadSignature("token lives too long")
    return claims


def _claims(token: str, public_pem: str, audience: str, *, of_any_age: bool) -> dict[str, Any]:
    refusal: Exception | None = None
    for pem in public_keys(public_pem):
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                pem,
                algorithms=["EdDSA"],
                audience=audience,
                issuer=CONTROL_PLANE,
                leeway=5,
                options={"require": ["exp", "iat", "jti", "aud"], "verify_exp": not of_any_age},
            )
        except jwt.PyJWTError as error:
            refusal = error
        else:
            return claims
    raise BadSignature("token refused") from refusal


def public_keys(pem: str) -> list[str]:
    """The PEM blocks in it, each by itself."""
    return [f"{block}\n" for block in _BLOCK.findall(pem)]


def check_public_key(pem: str) -> None:
    """BadSignature when this is not the public half of a signing key, or of several."""
    try:
        for each in public_keys(pem) or [pem]:
            _public(each)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSignature("not a public key") from error


def _signed_bytes(signer: str, text: str) -> bytes:
    return f"berth-event-1\n{signer}\n{text}".encode()


def _private(pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSignature("not an Ed25519 private key")
    return key


def _public(pem: str) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise BadSignature("not an Ed25519 public key")
    return key
