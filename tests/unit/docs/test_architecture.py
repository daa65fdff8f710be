"""The page on architecture tells the truth: its table of packages is the import graph."""

import re
from collections import defaultdict
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/architecture.md"
ROW = re.compile(r"^\| `((?:chalicelib|infra)/[a-z]+)(?:\.py)?` \|([^|]*)\| [^|]* \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Which package imports which, as far as the import graph knows; a package is one level deep."""
    built = grimp.build_graph("chalicelib", "infra", cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in built.modules:
        for imported in built.find_modules_directly_imported_by(module):
            found[_package(module)].add(_package(imported))
    return {package: found[package] - {package} for package in map(_package, built.modules) if "/" in package}


def told() -> dict[str, set[str]]:
    return {package: set(re.findall("`([a-z/]+)", imports)) for package, imports in ROW.findall(PAGE.read_text())}


def test_the_table_is_the_import_graph(graph: dict[str, set[str]]) -> None:
    assert told() == graph


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:chalicelib|infra|tests)/[a-z_/]+\.py)", PAGE.read_text()))

    assert named
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


def _package(module: str) -> str:
    return "/".join(module.split(".")[:2])
