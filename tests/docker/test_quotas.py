"""The kernel never loses count of a btrfs because of us; where it has, it counts anew: on a disk of the test's own."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from infra.ground.disk import await_release, mount_disk, unmount_disk
from infra.hostagent.quotas import btrfs, subvolumes

SIZE = 8 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    assert mount_disk(folder, os.getpid(), print)
    try:
        yield folder
    finally:
        unmount_disk(folder, os.getpid())
        await_release(folder)


def folder_with(path: Path, size: int) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_bytes(os.urandom(size))
    return path


def lose_count(disk: Path) -> None:
    """A subvolume joins a group when it shares contents with another, and the kernel has written that down."""
    one, other = disk / "one", disk / "other"
    btrfs.create(one)
    btrfs.create(other)
    (one / "file").write_bytes(os.urandom(SIZE // 4))
    os.sync()
    subprocess.run(["cp", "--reflink=always", one / "file", other], check=True)
    os.sync()
    group = btrfs.group_of(btrfs.subvolume_id(one))
    btrfs.have_group(disk, group)
    btrfs.join(disk, btrfs.subvolume_id(other), group)


def fills(folder: Path) -> int:
    """How many bytes fit when they come a little at a time, up to three times the limit."""
    with (folder / "filled").open("wb", buffering=0) as file:
        try:
            while file.tell() < 3 * SIZE:
                file.write(os.urandom(64 * 1024))
                os.sync()
        except OSError:
            return file.tell()
        return file.tell()


def test_layers_with_volumes_are_counted_whenever_the_kernel_writes_down_what_it_has(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = subvolumes._copy

    def copy_and_commit(folder: Path, other: Path) -> None:
        copy(folder, other)
        os.sync()

    monkeypatch.setattr(subvolumes, "_copy", copy_and_commit)
    folders = [folder_with(disk / "overlay2" / name, SIZE // 8) for name in ("layer", "volume")]
    os.sync()

    ours = subvolumes.have(folders, in_use=False)
    subvolumes.limit(ours, SIZE)

    assert ours == folders
    assert btrfs.counts(disk)
    assert SIZE // 2 < fills(folders[1]) <= SIZE * 3 // 4


def test_sweeps_at_any_moment_of_a_removal_leave_the_kernel_its_count(disk: Path) -> None:
    over = Event()

    def sweep() -> None:
        while not over.is_set():
            subvolumes.sweep(disk)

    sweeping = Thread(target=sweep)
    sweeping.start()
    try:
        for number in range(40):
            folders = [folder_with(disk / "overlay2" / f"{number}{letter}", 9) for letter in "ab"[: 1 + number % 2]]
            subvolumes.limit(subvolumes.have(folders, in_use=False), SIZE)
            for folder in folders:
                for name in range(200):
                    (folder / f"{name:0100d}").write_bytes(b"more" * 1000)
                shutil.rmtree(folder, ignore_errors=True)
            if number % 4 == 0:
                os.sync()
        assert none_left(disk)
    finally:
        over.set()
        sweeping.join()
    assert btrfs.counts(disk)


def none_left(disk: Path) -> bool:
    ends = time.monotonic() + 60
    while btrfs.groups(disk) and time.monotonic() < ends:
        os.sync()
        time.sleep(0.2)
    return not btrfs.groups(disk)


def test_a_kernel_that_has_lost_count_counts_anew_and_limits_hold_again(disk: Path) -> None:
    [limited] = subvolumes.have([folder_with(disk / "overlay2" / "layer", 9)], in_use=False)
    subvolumes.limit([limited], SIZE)
    lose_count(disk)
    assert not btrfs.counts(disk)

    begun = subvolumes.recount(disk)
    ends = time.monotonic() + 60
    while not btrfs.counts(disk) and time.monotonic() < ends:
        time.sleep(0.1)

    assert begun
    assert btrfs.counts(disk)
    assert not subvolumes.recount(disk)
    assert SIZE // 2 < fills(limited) <= SIZE
