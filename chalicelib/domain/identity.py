"""Who is calling: a stored token comes in, a caller with tier and scopes goes out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chalicelib.domain.errors import InsufficientScope, Unauthorized


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    WRITE = "write"
    EXEC = "exec"
    ADMIN = "admin"


DEFAULT_SCOPES = (Scope.READ, Scope.WRITE)
"""Of a token that is minted without a word about them."""

GUEST_SCOPES = (Scope.READ, Scope.WRITE, Scope.EXEC)


@dataclass(frozen=True, slots=True)
class Token:
    """A stored token: everything but the secret, of which only the SHA-256 (`hash`) is kept."""

    hash: str
    id: str
    user_id: str
    tier: str
    scopes: tuple[Scope, ...]
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked: bool = False
    suspended: bool = False
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user for the length of one request."""

    user_id: str
    tier: str
    scopes: tuple[Scope, ...]
    token_hash: str
    guest: bool = False
    until: datetime | None = None
    """When the token expires; a guest's containers do not outlive it."""

    def may(self, scope: Scope) -> bool:
        """Whether the token has that scope; `admin` includes the others."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Nothing, or InsufficientScope."""
        if not self.may(scope):
            raise InsufficientScope(scope)


def caller_of(token: Token, now: datetime) -> Caller:
    """The caller a token stands for, or Unauthorized when it is expired, revoked or suspended."""
    expired = token.expires_at is not None and token.expires_at <= now
    if expired or token.revoked or token.suspended:
        raise Unauthorized
    return Caller(token.user_id, token.tier, token.scopes, token.hash, token.guest, token.expires_at)
