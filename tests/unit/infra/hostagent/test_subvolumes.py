"""A layer becomes a subvolume while a sweep comes by; folders stand for subvolumes here."""

from pathlib import Path

import pytest

from infra.hostagent.quotas import btrfs, subvolumes


def test_a_sweep_that_comes_between_takes_what_is_left_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = tmp_path / "overlay2" / "abc"
    (layer / "diff").mkdir(parents=True)
    (layer / "diff" / "file").write_text("kept")
    made: set[int] = set()

    def create(path: Path) -> None:
        path.mkdir()
        made.add(path.stat().st_ino)

    def exchange(one: Path, other: Path) -> None:
        aside = one.with_name("aside")
        for source, target in ((one, aside), (other, one), (aside, other)):
            source.rename(target)
        subvolumes.sweep(tmp_path)

    monkeypatch.setattr(btrfs, "create", create)
    monkeypatch.setattr(btrfs, "exchange", exchange)
    monkeypatch.setattr(btrfs, "forget_stale_groups", lambda _folder: 0)
    monkeypatch.setattr(subvolumes, "is_one", lambda path: path.stat().st_ino in made)

    assert subvolumes.have([layer], in_use=False) == [layer]

    assert (layer / "diff" / "file").read_text() == "kept"
    assert [each.name for each in (tmp_path / "overlay2").iterdir()] == ["abc"]
