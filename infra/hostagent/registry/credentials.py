"""Credentials of private registries: a file in Docker's own format comes in, a header for one registry goes out."""

import base64
import binascii
import json
import stat
from pathlib import Path

from infra.hostagent.registry.references import DOCKER_HUB

_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io")


class BadCredentials(Exception):
    """The file cannot be used; the text says what to do, and nothing of what is in it."""


class Credentials:
    """Authorizations by registry; they show themselves to nobody."""

    def __init__(self, basic: dict[str, str] | None = None) -> None:
        self._basic = basic or {}

    def __repr__(self) -> str:
        return f"Credentials({sorted(self._basic)})"

    def basic(self, registry: str) -> str | None:
        """The value of an Authorization header for that registry, if there is one."""
        return self._basic.get(registry)


def read_credentials(path: Path | None) -> Credentials:
    """What is in the file (`auths` of Docker's config.json); BadCredentials when others can read it or nobody can."""
    if path is None:
        return Credentials()
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise BadCredentials(f"others can read {path}: chmod 600 it")
        found = json.loads(path.read_bytes())["auths"]
        return Credentials({_registry(name): _basic(row) for name, row in found.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        shape = '{"auths": {"ghcr.io": {"auth": "base64 of user:password"}}}'
        raise BadCredentials(f"{path} cannot be read as credentials of registries: write {shape}") from None


def _registry(name: str) -> str:
    return DOCKER_HUB if name in _HUB_KEYS else name.removeprefix("https://").rstrip("/")


def _basic(row: dict[str, str]) -> str:
    pair = row["auth"] if "auth" in row else base64.b64encode(f"{row['username']}:{row['password']}".encode()).decode()
    try:
        if b":" not in base64.b64decode(pair, validate=True):
            raise ValueError("no colon")
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return f"Basic {pair}"
