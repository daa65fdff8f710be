"""Who is let in: what comes with a call or a ticket comes in, and is right, of now and used once, or BadSignature."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from chalicelib.contract.signatures import CALL_SECONDS, BadSignature, check_public_key, verify_call
from chalicelib.contract.terminals import Grant, read_ticket

log = logging.getLogger("berth.agent")


@dataclass(slots=True)
class ControlKey:
    """The control plane's public key or keys as the file has them now: whoever replaces it need tell nobody."""

    file: Path
    _known: tuple[int, int, int] | None = None
    _pem: str = ""

    def __call__(self) -> str:
        """PEM. OSError or BadSignature when there was none from the beginning; later the last that could be read."""
        try:
            found = self.file.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            if version != self._known:
                self._read(version)
        except (OSError, BadSignature) as error:
            if not self._pem:
                raise
            log.warning("the control plane's key cannot be read", extra={"reason": str(error)})
        return self._pem

    def _read(self, version: tuple[int, int, int]) -> None:
        text = self.file.read_text()
        check_public_key(text)
        if self._pem:
            log.info("the control plane has another key")
        self._pem, self._known = text, version


@dataclass(slots=True)
class Guard:
    """Lets in calls and tickets that the control plane signed for this host, each once."""

    host_id: str
    control_key: Callable[[], str]
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, body: bytes) -> None:
        """BadSignature for everything but a call."""
        call_id = verify_call(
            token=_bearer(request.headers),
            public_pem=self.control_key(),
            host_id=self.host_id,
            method=request.method,
            path=request.url.path,
            body=body,
        )
        self._once(call_id)

    def admit(self, headers: Mapping[str, str], container_id: str) -> Grant:
        """What the ticket grants in this container; BadSignature for everything but a ticket for it."""
        ticket = read_ticket(_bearer(headers), self.control_key())
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
