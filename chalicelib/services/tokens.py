"""Who may do what: secrets come in, callers go out; tokens, guests and tickets are made and revoked."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.contract.moments import rfc3339
from chalicelib.domain import secrets
from chalicelib.domain.errors import InsufficientScope, InvalidRequest, NotFound, Unauthorized
from chalicelib.domain.identity import DEFAULT_SCOPES, GUEST_SCOPES, Caller, Scope, Token, caller_of

if TYPE_CHECKING:
    from chalicelib.ports import Clock, ConnectionStore, Ids, Sockets, TokenStore

log = logging.getLogger("berth.tokens")

CACHED = timedelta(seconds=30)
"""A token is believed this long without asking the store, so a revoked one is refused within it (I14)."""

CACHE_SIZE = 10_000
LONGEST_DAYS = 90
GUEST_LIFE = timedelta(hours=1)
TICKET_LIFE = timedelta(seconds=30)


@dataclass(slots=True)
class TokenCache:
    """Tokens seen lately by this process."""

    _known: dict[str, tuple[datetime, Token]] = field(default_factory=dict)

    def get(self, token_hash: str, now: datetime, load: Callable[[str], Token]) -> Token:
        """The token as it was at most `CACHED` ago; errors of `load` are not kept."""
        found = self._known.get(token_hash)
        if found is not None and now - found[0] < CACHED:
            return found[1]
        token = load(token_hash)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[token_hash] = (now, token)
        return token


@dataclass(frozen=True, slots=True)
class Tokens:
    """Authenticate callers; mint, list and revoke tokens; guests and tickets."""

    tokens: TokenStore
    connections: ConnectionStore
    sockets: Sockets
    clock: Clock
    ids: Ids
    guests_per_day: int
    cache: TokenCache = field(default_factory=TokenCache)

    def caller(self, secret: str) -> Caller:
        """The caller a token stands for, or Unauthorized for every token that is not good."""
        if not secrets.well_formed(secret, secrets.TOKEN_PREFIX):
            raise Unauthorized
        return self.caller_of_hash(secrets.hash_of(secret))

    def caller_of_ticket(self, ticket: str) -> Caller:
        """The caller who bought the ticket, once; Unauthorized afterwards."""
        if not secrets.well_formed(ticket, secrets.TICKET_PREFIX):
            raise Unauthorized
        try:
            token_hash = self.tokens.take_ticket(secrets.hash_of(ticket), self.clock.now())
        except NotFound as error:
            raise Unauthorized from error
        return self.caller_of_hash(token_hash)

    def caller_of_hash(self, token_hash: str) -> Caller:
        """The caller of a token by its hash, or Unauthorized when it is not good (any more)."""
        now = self.clock.now()
        try:
            return caller_of(self.cache.get(token_hash, now, self.tokens.by_hash), now)
        except NotFound as error:
            raise Unauthorized from error

    def mint(self, caller: Caller, name: str, scopes: tuple[Scope, ...] | None, days: int | None) -> dict[str, Any]:
        """A new token of the caller with its secret, which is shown this once.

        A token cannot give what it has not: InsufficientScope. Guests have none to give.
        """
        if caller.guest:
            raise InsufficientScope(Scope.ADMIN)
        wanted = scopes or tuple(each for each in DEFAULT_SCOPES if each in caller.scopes) or caller.scopes
        for scope in wanted:
            caller.require(scope)
        life = timedelta(days=days or LONGEST_DAYS)
        secret, token = self._new(caller.user_id, caller.tier, wanted, name, life)
        return {"token": secret, "message": "keep this token: it is not shown again"} | describe(token)

    def first_of_user(self, tier: str, scopes: tuple[Scope, ...], name: str) -> dict[str, Any]:
        """A new user with a token: only for the operator's command."""
        secret, token = self._new(self.ids.uuid(), tier, scopes, name, timedelta(days=LONGEST_DAYS))
        return {"token": secret, "user_id": token.user_id, "tier": tier} | describe(token)

    def guest(self, address: str, username: str | None) -> dict[str, Any]:
        """A guest with an hour's token, or RateLimited when the address had its guests for today."""
        address_hash = hashlib.sha256(address.encode()).hexdigest()
        self.tokens.count_guest(address_hash, self.guests_per_day, self.clock.now())
        secret, token = self._new(self.ids.uuid(), "guest", GUEST_SCOPES, "guest", GUEST_LIFE, guest=True)
        name = username or f"guest-{token.user_id[:8]}"
        return {
            "token": secret,
            "user": {"id": token.user_id, "username": name, "tier": token.tier},
            "guest": True,
            "expires_in": int(GUEST_LIFE.total_seconds()),
        }

    def list(self, caller: Caller) -> dict[str, Any]:
        """The caller's tokens, without their secrets."""
        tokens = self.tokens.of_user(caller.user_id)
        return {"tokens": [describe(token) for token in tokens], "count": len(tokens)}

    def revoke(self, caller: Caller, token_id: str) -> dict[str, Any]:
        """End one of the caller's tokens, and the connections opened with it; NotFound when it is not theirs."""
        token = self.tokens.revoke(caller.user_id, token_id)
        for connection in self.connections.of_user(caller.user_id, self.clock.now()):
            if connection.token_hash == token.hash:
                self.connections.forget(connection)
                self.sockets.close(connection.id)
        log.info("token revoked", extra={"token_id": token.id, "user": caller.user_id})
        return {"message": "token revoked", "id": token.id}

    def ticket(self, caller: Caller) -> dict[str, Any]:
        """A ticket for one WebSocket connection, good for 30 seconds, so that no token has to be in an address."""
        now = self.clock.now()
        ticket = secrets.new_secret(secrets.TICKET_PREFIX, self.ids.secret())
        self.tokens.add_ticket(secrets.hash_of(ticket), caller.token_hash, now + TICKET_LIFE)
        return {
            "ticket": ticket,
            "expires_in": int(TICKET_LIFE.total_seconds()),
            "expires_at": rfc3339(now + TICKET_LIFE),
        }

    def _new(
        self, user_id: str, tier: str, scopes: tuple[Scope, ...], name: str, life: timedelta, *, guest: bool = False
    ) -> tuple[str, Token]:
        now = self.clock.now()
        secret = secrets.new_secret(secrets.TOKEN_PREFIX, self.ids.secret())
        token = Token(
            hash=secrets.hash_of(secret),
            id=self.ids.uuid(),
            user_id=user_id,
            tier=tier,
            scopes=scopes,
            name=name,
            prefix=secret[: secrets.SHOWN],
            created_at=now,
            expires_at=now + life,
            guest=guest,
        )
        self.tokens.add(token)
        return secret, token


def describe(token: Token) -> dict[str, Any]:
    """What lists and the first answer say of a token; never its secret or hash."""
    described: dict[str, Any] = {
        "id": token.id,
        "name": token.name,
        "token_prefix": token.prefix,
        "scopes": [scope.value for scope in token.scopes],
        "created_at": rfc3339(token.created_at),
    }
    if token.expires_at is not None:
        described["expires_at"] = rfc3339(token.expires_at)
    return described


def parse_scopes(scopes: list[str] | None) -> tuple[Scope, ...] | None:
    """The scopes named, or InvalidRequest with the list of those there are."""
    known = [scope.value for scope in Scope]
    if scopes is None:
        return None
    if not scopes or any(scope not in known for scope in scopes):
        raise InvalidRequest("unsupported scope", "scopes", supported_scopes=known)
    return tuple(Scope(scope) for scope in dict.fromkeys(scopes))
