"""Secrets a client may hold: random bytes come in, a token that checks itself goes out, and what is stored of it."""

import hashlib
import zlib

TOKEN_PREFIX = "berth_"  # noqa: S105 - how every token begins
TICKET_PREFIX = "ticket_"
SHOWN = 12
"""Characters of a token that lists may show."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY = 43
_CHECK = 6


def new_secret(prefix: str, random: bytes) -> str:
    """256 random bits in base62 behind the prefix, and a CRC-32 that catches typing errors without a look-up."""
    body = _base62(int.from_bytes(random, "big"), _BODY)
    return prefix + body + _checksum(prefix + body)


def well_formed(secret: str, prefix: str) -> bool:
    """Whether the text can be a secret of this kind."""
    if not secret.startswith(prefix) or len(secret) != len(prefix) + _BODY + _CHECK or not secret.isascii():
        return False
    return _checksum(secret[:-_CHECK]) == secret[-_CHECK:]


def hash_of(secret: str) -> str:
    """What is kept of a secret: SHA-256, hex. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
