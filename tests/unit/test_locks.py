"""The locks agree with each other, with what is asked for, and hold a hash for everything."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT = "requirements-dev.txt"
SHIPPED = ("requirements.txt", "infra/hostagent/requirements.txt")
LOCKS = (*SHIPPED, DEVELOPMENT)
PINNED = re.compile(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)(?: ; [^\\]*)? \\$")


def entries(lock: str) -> dict[str, list[str]]:
    """Every pinned package as "name==version", with its hashes."""
    found: dict[str, list[str]] = {}
    hashes: list[str] = []
    for line in (ROOT / lock).read_text().splitlines():
        if matched := PINNED.match(line):
            hashes = found.setdefault(f"{matched[1]}=={matched[2]}", [])
        elif line.startswith("    --hash="):
            hashes.append(line.strip().removeprefix("--hash=").removesuffix(" \\"))
        else:
            assert line.lstrip().startswith("#"), f"{lock}: neither a package, a hash nor a comment: {line}"
    return found


@pytest.mark.parametrize("lock", [*LOCKS, "infra/localstack/requirements.txt", "tests/deploy/requirements-audit.txt"])
def test_everything_is_pinned_with_hashes(lock: str) -> None:
    found = entries(lock)

    assert found
    assert all(found.values()), [name for name, hashes in found.items() if not hashes]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for hashes in found.values() for each in hashes)


@pytest.mark.parametrize("lock", SHIPPED)
def test_what_is_shipped_is_what_was_tested(lock: str) -> None:
    """The same version of every package, and the same files of it."""
    tested = entries(DEVELOPMENT)

    assert {name: hashes for name, hashes in entries(lock).items() if tested.get(name) != hashes} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_answers_what_is_asked_for(lock: str) -> None:
    pinned = dict(name.split("==") for name in entries(lock))

    for asked in _asked(ROOT / lock.replace(".txt", ".in")):
        version = pinned.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked.name} is not locked: run make lock"
        assert asked.specifier.contains(version), f"{asked} is locked as {version}: run make lock"


def _asked(path: Path) -> list[Requirement]:
    found: list[Requirement] = []
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found += _asked(ROOT / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.append(Requirement(line))
    return found
