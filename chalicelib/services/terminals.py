"""Terminals in containers: a caller comes in, a ticket for the container's host goes out, or a refusal.

The control plane never sees what is typed: the relay and the host carry it (ADR 0030).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.moments import rfc3339
from chalicelib.contract.signatures import BadSignature, public_key_of
from chalicelib.contract.terminals import TICKET_SECONDS, Grant, read_ticket, relay_key, sign_ticket, unwrap, wrap
from chalicelib.contract.tracing import traced
from chalicelib.domain.container import Container
from chalicelib.domain.errors import HostSilent, TerminalsOff, Unauthorized
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Caller
from chalicelib.ports import Clock, Ids
from chalicelib.services.attended import Attended
from chalicelib.services.tokens import Tokens

log = logging.getLogger("berth.terminals")

_UNHEARD = "no terminal was opened"


@dataclass(frozen=True, slots=True)
class Signing:
    """What a ticket is signed with."""

    private_key: Callable[[], str]
    """Asked for when the first ticket is."""
    clock: Clock
    ids: Ids


@dataclass(frozen=True, slots=True)
class Terminals:
    """Lets callers in to terminals of their running containers."""

    attended: Attended
    tokens: Tokens
    signing: Signing
    url: str
    """Where the relay is, up to the container's id; empty when the deployment has none."""

    def admit(self, caller: Caller, reference: str, user: ExecUser | None) -> dict[str, Any]:
        """A ticket for one connection; TerminalsOff, NotFound, StatusConflict or HostSilent."""
        if not self.url:
            raise TerminalsOff
        container = self.attended.running(caller, reference)
        host = self.attended.host_of(container, _UNHEARD)
        ticket = self._ticket(caller, container, host, user)
        log.info("terminal ticket given", extra={"container": container.id, "user": caller.user_id, "host": host.id})
        return {
            "message": f"open the url within {TICKET_SECONDS} seconds",
            "id": container.id,
            "url": f"{self.url.rstrip('/')}/{container.id}?ticket={quote(ticket, safe='')}",
            "ticket": ticket,
            "expires_in": TICKET_SECONDS,
            "expires_at": rfc3339(self.signing.clock.now() + timedelta(seconds=TICKET_SECONDS)),
        }

    def holder(self, ticket: str) -> tuple[Caller, str]:
        """Whom a ticket of any age was given to, and for which container; Unauthorized if their token is not good."""
        key = self.signing.private_key()
        try:
            grant = read_ticket(unwrap(ticket, relay_key(key)), public_key_of(key), of_any_age=True).grant
        except BadSignature as error:
            raise Unauthorized from error
        return self.tokens.caller_of_hash(grant.token_hash), grant.container_id

    def _ticket(self, caller: Caller, container: Container, host: Host, user: ExecUser | None) -> str:
        if host.report is None:
            raise HostSilent(_UNHEARD)
        grant = Grant(
            host_id=host.id,
            endpoint=host.report.endpoint,
            container_id=container.id,
            user_id=container.user_id,
            generation=container.generation,
            user=user,
            token_hash=caller.token_hash,
        )
        issued_at = int(self.signing.clock.now().timestamp())
        key = self.signing.private_key()
        return wrap(sign_ticket(traced(grant), key, self.signing.ids.uuid(), issued_at), relay_key(key))
