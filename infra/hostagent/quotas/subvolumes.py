"""Folders of a btrfs made into subvolumes with a common limit: paths and bytes come in; OSError when it cannot be.

Safe to run again from wherever an earlier run was cut off.
"""

import errno
import shutil
import subprocess
from pathlib import Path

from infra.hostagent.quotas import btrfs

_OTHER = ".berth"
"""After the name of what is being put in a folder's place, and then of what was there."""

counted = btrfs.has_quotas
is_one = btrfs.is_subvolume


def have(folders: list[Path], *, in_use: bool) -> list[Path]:
    """Have subvolumes in the folders' places, with all that is in them, several in one group: those that now are.

    One that is in use and no subvolume stays what it is. All join while they are empty (see `btrfs.join`).
    """
    ours = [folder for folder in folders if is_one(folder) or not in_use]
    fresh = {folder: _beside(folder) for folder in ours if not is_one(folder)}
    for folder in ours:
        shutil.rmtree(_beside(folder), ignore_errors=True)
    for other in fresh.values():
        btrfs.create(other)
    if len(ours) > 1:
        _join([fresh.get(folder, folder) for folder in ours])
    for folder, other in fresh.items():
        _copy(folder, other)
        btrfs.exchange(folder, other)
        shutil.rmtree(other, ignore_errors=True)  # a sweep may be at it, too
    return ours


def limit(subvolumes: list[Path], size: int) -> None:
    """Let these hold so many bytes together: one by its own group, several by the one over theirs."""
    first, *others = subvolumes
    btrfs.limit(first, size, btrfs.group_of(btrfs.subvolume_id(first)) if others else 0)


def held(subvolumes: list[Path]) -> Path:
    """The file in which the kernel says how many bytes these hold together; it writes there now and then."""
    first, *others = subvolumes
    return btrfs.held(first, btrfs.subvolume_id(first), together=bool(others))


def sweep(data_root: Path) -> None:
    """Remove what a cut-off run has left of a container that is gone, and groups without a subvolume.

    Newer kernels forget a group with its subvolume, older ones never do.
    """
    for left in data_root.glob(f"overlay2/*{_OTHER}"):
        taken = left.with_name(left.name.removesuffix(_OTHER))
        if not taken.exists() or is_one(taken):
            shutil.rmtree(left, ignore_errors=True)
    btrfs.forget_stale_groups(data_root)


def recount(data_root: Path) -> bool:
    """Have the kernel count anew where it has lost count; whether that has begun now."""
    return not btrfs.counts(data_root) and btrfs.recount(data_root)


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + _OTHER)


def _join(subvolumes: list[Path]) -> None:
    """By one group, which is named after the first."""
    numbers = [btrfs.subvolume_id(each) for each in subvolumes]
    group = btrfs.group_of(numbers[0])
    btrfs.have_group(subvolumes[0], group)
    for number in numbers:
        btrfs.join(subvolumes[0], number, group)


def _copy(folder: Path, other: Path) -> None:
    """With owners, modes, devices and every attribute, which is what a layer is made of; contents are shared."""
    command = ["cp", "-a", "--reflink=auto", f"{folder}/.", str(other)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"a layer cannot be copied: {done.stderr.strip()[-200:]}")
