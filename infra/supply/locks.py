"""Locks: a file of pinned requirements comes in, its packages with their hashes go out."""

import re
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FUNCTIONS = PROJECT / "requirements.txt"
AGENT = PROJECT / "infra/hostagent/requirements.txt"
RELAY = PROJECT / "infra/relay/requirements.txt"
DEVELOPMENT = PROJECT / "requirements-dev.txt"
LOCKS = (FUNCTIONS, AGENT, RELAY, DEVELOPMENT)

_PINNED = re.compile(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)(?: ; [^\\]*)? \\$")


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, and the SHA-256 of every file of it that may be taken."""

    name: str
    version: str
    hashes: tuple[str, ...]


class NoLock(Exception):
    """The file has a line that is neither a package pinned with hashes nor a comment."""


def packages(lock: Path) -> list[Package]:
    """All packages of a lock, or NoLock."""
    found: list[tuple[str, str, list[str]]] = []
    for line in lock.read_text().splitlines():
        if matched := _PINNED.match(line):
            found.append((matched[1], matched[2], []))
        elif found and line.startswith("    --hash=sha256:"):
            found[-1][2].append(line.strip().removeprefix("--hash=sha256:").removesuffix(" \\"))
        elif not line.lstrip().startswith("#"):
            raise NoLock(f"{lock.name}: neither a package with hashes nor a comment: {line}")
    without = [name for name, _, hashes in found if not hashes]
    if without:
        raise NoLock(f"{lock.name}: no hash for {', '.join(without)}")
    return [Package(name, version, tuple(hashes)) for name, version, hashes in found]
