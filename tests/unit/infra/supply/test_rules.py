"""Licences and known vulnerabilities: what is refused, what is waived, and that silence is no "none"."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from infra.supply.advisories import DAY, HOUR, NotAsked, Vulnerability, known_of
from infra.supply.licences import is_allowed, not_allowed
from infra.supply.locks import Package
from infra.supply.rules import Rules, Waiver, read

ALLOWED = frozenset({"MIT", "BSD-3-Clause"})


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT AND BSD-3-Clause", True),
        ("MIT AND AGPL-3.0-only", False),
        ("AGPL-3.0-only OR MIT", True),
        ("AGPL-3.0-only", False),
        ("", False),
    ],
)
def test_every_part_of_a_licence_has_to_be_agreed_to(licence: str, allowed: bool) -> None:
    assert is_allowed(licence, ALLOWED) is allowed


def test_a_package_with_another_licence_is_named() -> None:
    licences = {"good": "MIT", "strange": "AGPL-3.0-only", "silent": ""}
    found = [Package(name, "1", ("0" * 64,)) for name in licences]

    assert not_allowed(found, ALLOWED, licences.__getitem__) == ["strange: AGPL-3.0-only", "silent: names no licence"]


def test_a_waiver_ends_on_its_day_and_counts_for_its_package_alone() -> None:
    day = dt.date(2026, 12, 31)
    rules = Rules(ALLOWED, (Waiver("CVE-1", "parcel", "not reached", day),))

    assert rules.accepts("parcel", {"PYSEC-1", "CVE-1"}, day)
    assert not rules.accepts("parcel", {"CVE-1"}, day + dt.timedelta(days=1))
    assert not rules.accepts("other", {"CVE-1"}, day)
    assert not rules.accepts("parcel", {"CVE-2"}, day)


def test_the_project_waives_nothing_that_is_over() -> None:
    today = dt.datetime.now(dt.UTC).date()

    assert [each for each in read().waivers if each.until < today or not each.reason] == []


def report(**members: Any) -> dict[str, Any]:
    return {"dependencies": [{"name": "parcel", "version": "1.0", "vulns": []} | members]}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("parcel==1.0")
    return path


@pytest.mark.parametrize(("answer", "lasts"), [(report(), DAY), (report(skip_reason="not found"), HOUR)])
def test_an_answer_is_kept_for_its_time(answer: dict[str, Any], lasts: float, lock: Path, tmp_path: Path) -> None:
    asked: list[Path] = []

    def ask(path: Path) -> dict[str, Any]:
        asked.append(path)
        return answer

    first = known_of(lock, ask, 0, tmp_path / "cache")
    [kept] = (tmp_path / "cache").iterdir()
    os.utime(kept, (1000, 1000))

    assert known_of(lock, ask, 1000 + lasts - 1, tmp_path / "cache") == first
    assert len(asked) == 1
    known_of(lock, ask, 1000 + lasts, tmp_path / "cache")
    assert len(asked) == 2


def test_a_vulnerability_is_known_by_all_its_names_and_a_package_that_is_not_known_is_told(
    lock: Path, tmp_path: Path
) -> None:
    answer = report(vulns=[{"id": "PYSEC-1", "aliases": ["CVE-1"]}])
    answer["dependencies"].append({"name": "other", "skip_reason": "not found"})

    known = known_of(lock, lambda _lock: answer, 0, tmp_path / "cache")

    assert known.vulnerabilities == (Vulnerability("parcel", "1.0", ("PYSEC-1", "CVE-1")),)
    assert known.unknown == ("other",)


def test_a_report_about_nothing_has_not_said_none(lock: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAsked):
        known_of(lock, lambda _lock: {"dependencies": []}, 0, tmp_path / "cache")

    assert not (tmp_path / "cache").exists()
