"""Folders of a btrfs made into subvolumes with a common limit: paths and bytes come in; OSError when it cannot be.

Safe to run again from wherever an earlier run was cut off.
"""

import errno
import shutil
import subprocess
from pathlib import Path

from infra.hostagent import btrfs

_OTHER = ".berth"
"""After the name of what is being put in a folder's place, and then of what was there."""

counted = btrfs.has_quotas
is_one = btrfs.is_subvolume


def have(folder: Path, *, in_use: bool) -> bool:
    """Have a subvolume in the folder's place, with all that is in it; False when it is no subvolume and in use."""
    other = folder.with_name(folder.name + _OTHER)
    if not is_one(folder) and in_use:
        return False
    shutil.rmtree(other, ignore_errors=True)
    if not is_one(folder):
        btrfs.create(other)
        _copy(folder, other)
        btrfs.exchange(folder, other)
        shutil.rmtree(other, ignore_errors=True)  # a sweep may be at it, too
    return True


def limit(folders: list[Path], size: int) -> None:
    """Let these subvolumes hold so many bytes together: one by its own group, several by one over theirs."""
    first, *others = folders
    if not others:
        btrfs.limit(first, size)
        return
    numbers = [btrfs.subvolume_id(each) for each in folders]
    group = btrfs.group_of(numbers[0])
    btrfs.have_group(first, group)
    for number in numbers:
        btrfs.join(first, number, group)
    btrfs.limit(first, size, group)


def sweep(data_root: Path) -> None:
    """Remove what a cut-off run has left of a container that is gone, and groups without a subvolume.

    Newer kernels forget a group with its subvolume, older ones never do.
    """
    for left in data_root.glob(f"overlay2/*{_OTHER}"):
        taken = left.with_name(left.name.removesuffix(_OTHER))
        if not taken.exists() or is_one(taken):
            shutil.rmtree(left, ignore_errors=True)
    btrfs.forget_stale_groups(data_root)


def _copy(folder: Path, other: Path) -> None:
    """With owners, modes, devices and every attribute, which is what a layer is made of; contents are shared."""
    command = ["cp", "-a", "--reflink=auto", f"{folder}/.", str(other)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"a layer cannot be copied: {done.stderr.strip()[-200:]}")
