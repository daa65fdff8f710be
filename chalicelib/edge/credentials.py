"""What callers show: a header comes in, the secret in it goes out."""

from chalicelib.domain.errors import Unauthorized


def bearer(header: str | None) -> str:
    """The token in an Authorization header, or Unauthorized."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized
    return token.strip()
