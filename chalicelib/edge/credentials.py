"""What callers show: a header comes in, the secret in it goes out."""

from chalicelib.contract.handshakes import bearer_of
from chalicelib.domain.errors import Unauthorized


def bearer(header: str | None) -> str:
    """The token in an Authorization header, or Unauthorized."""
    token = bearer_of(header or "")
    if not token:
        raise Unauthorized
    return token
