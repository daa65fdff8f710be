"""Who is let in: what comes with a call or a ticket comes in, and is right, of now and used once, or BadSignature."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request

from chalicelib.contract.signatures import CALL_SECONDS, BadSignature, verify_call
from chalicelib.contract.terminals import Grant, read_ticket


@dataclass(slots=True)
class Guard:
    """Lets in calls and tickets that the control plane signed for this host, each once."""

    host_id: str
    control_key: str
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, body: bytes) -> None:
        """BadSignature for everything but a call."""
        call_id = verify_call(
            token=_bearer(request.headers),
            public_pem=self.control_key,
            host_id=self.host_id,
            method=request.method,
            path=request.url.path,
            body=body,
        )
        self._once(call_id)

    def admit(self, headers: Mapping[str, str], container_id: str) -> Grant:
        """What the ticket grants in this container; BadSignature for everything but a ticket for it."""
        ticket = read_ticket(_bearer(headers), self.control_key)
        if (ticket.grant.host_id, ticket.grant.container_id) != (self.host_id, container_id):
            raise BadSignature("the ticket is for another terminal")
        self._once(f"ticket {ticket.id}")
        return ticket.grant

    def _once(self, used: str) -> None:
        now = time.monotonic()
        with self._lock:
            for seen in [each for each, at in self._seen.items() if now - at > 2 * CALL_SECONDS]:
                del self._seen[seen]
            if used in self._seen:
                raise BadSignature("it was used before")
            self._seen[used] = now


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise BadSignature("no bearer token")
    return token
