"""What a machine lacks, told in one line."""

import pytest

from infra.ground.errors import PackagesMissing
from infra.ground.packages import PACKAGE_OF, ensure_programs, find


def test_programs_that_are_there_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setitem(PACKAGE_OF, "sh", "dash")

    ensure_programs(["sh"], said.append)

    assert said == []


def test_who_may_not_install_is_told_which_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGE_OF, "no-such-program", "its-package")
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(PackagesMissing, match="install the packages its-package"):
        ensure_programs(["no-such-program"], lambda line: None)


def test_programs_of_the_administrator_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")

    assert find("sh")
    assert find("no-such-program") is None
