"""The locks agree with each other, with what is asked for, and hold a hash for everything."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.supply.locks import AGENT, DEVELOPMENT, FUNCTIONS, LOCKS, PROJECT, RELAY, NoLock, packages

OTHERS = (PROJECT / "infra/localstack/requirements.txt", PROJECT / "tests/deploy/requirements-audit.txt")


@pytest.mark.parametrize("lock", [*LOCKS, *OTHERS], ids=lambda path: str(path.relative_to(PROJECT)))
def test_everything_is_pinned_with_hashes(lock: Path) -> None:
    found = packages(lock)

    assert len(found) > 10
    assert all(re.fullmatch("[0-9a-f]{64}", each) for package in found for each in package.hashes)


@pytest.mark.parametrize("lock", [FUNCTIONS, AGENT, RELAY], ids=["functions", "agent", "relay"])
def test_what_is_shipped_is_what_was_tested(lock: Path) -> None:
    """The same version of every package, and the same files of it."""
    assert set(packages(lock)) - set(packages(DEVELOPMENT)) == set()


@pytest.mark.parametrize("lock", LOCKS, ids=["functions", "agent", "relay", "development"])
def test_the_lock_answers_what_is_asked_for(lock: Path) -> None:
    pinned = {each.name: each.version for each in packages(lock)}

    for asked in _asked(lock.with_suffix(".in")):
        version = pinned.get(canonicalize_name(asked.name))
        assert version is not None, f"{asked.name} is not locked: run make lock"
        assert asked.specifier.contains(version), f"{asked} is locked as {version}: run make lock"


@pytest.mark.parametrize("line", ["httpx==0.28.1", "httpx>=0.28", "-r other.txt", "httpx==0.28.1 \\\n    # via nobody"])
def test_what_is_not_pinned_with_hashes_is_no_lock(line: str, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text(line + "\n")

    with pytest.raises(NoLock):
        packages(tmp_path / "lock.txt")


def _asked(path: Path) -> list[Requirement]:
    found: list[Requirement] = []
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found += _asked(PROJECT / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.append(Requirement(line))
    return found
