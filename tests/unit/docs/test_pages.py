"""The pages hang together: every page is listed, every link and every command of a page leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
READABLE = [ROOT / "README.md", *PAGES]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(page: Path) -> list[str]:
    """Relative links without their fragments; the web's are not ours to check."""
    found = (target.partition("#")[0] for target in LINK.findall(page.read_text()))
    return [target for target in found if target and "://" not in target]


@pytest.mark.parametrize("page", READABLE, ids=named)
def test_no_link_is_dead(page: Path) -> None:
    assert [target for target in links(page) if not (page.parent / target).exists()] == []


def test_the_index_lists_every_page_and_is_found_from_the_readme() -> None:
    """The pages of a folder may be listed by an index of its own."""
    index = DOCS / "index.md"
    indexes = [page for page in PAGES if page.name == "index.md"]
    listed = {(each.parent / target).resolve() for each in indexes for target in links(each)}

    assert {named(page) for page in PAGES if page != index} - {named(page) for page in listed} == set()
    assert "docs/index.md" in links(ROOT / "README.md")


@pytest.mark.parametrize("page", READABLE, ids=named)
def test_every_command_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```.*?```", text, re.DOTALL)
    asked = "\n".join(code)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {each for each in re.findall(r"\bmake ([a-z-]+)", asked) if each not in targets} == set()
    modules = set(re.findall(r"python -m (infra[a-z_.]*)", asked))
    assert {each for each in modules if not _runs(each)} == set()


def test_every_verb_of_the_operators_command_exists() -> None:
    verbs = set(re.findall(r'add_parser\("([a-z-]+)"', (ROOT / "infra/aws/operator.py").read_text()))
    asked = {verb for page in READABLE for verb in re.findall(r"infra\.aws\.operator ([a-z][a-z-]*)", page.read_text())}

    assert asked
    assert asked - verbs == set()


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [int(page.name[:4]) for page in (DOCS / "adr").glob("*.md")]

    assert len(set(numbers)) == len(numbers)


def _runs(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return (path / "__main__.py").exists() or path.with_suffix(".py").exists()
