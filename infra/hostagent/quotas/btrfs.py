"""Subvolumes and quotas of btrfs: paths and bytes come in, the kernel is asked by ioctl; OSError when it says no.

By ioctl, since a program started for each would take longer than all else here, and btrfs-progs may not be there.
Numbers and layouts are those of linux/btrfs.h.
"""

import ctypes
import errno
import fcntl
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSFS = Path("/sys/fs/btrfs")

_MAGIC = 0x94
_WRITE, _READ = 1, 2
ROOT_INODE = 256
"""The inode of every subvolume's root, and the first id of a subvolume."""

_FIRST_SUBVOLUME, _LAST_SUBVOLUME = 256, 2**63
_ROOT_TREE, _ROOT_ITEM = 1, 132
_MAX_REFERENCED = 1
_GROUP_LEVEL = 1 << 48
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _ioctl(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _MAGIC << 8 | number


_SUBVOL_CREATE = _ioctl(_WRITE, 14, 4096)
_SNAP_DESTROY = _ioctl(_WRITE, 15, 4096)
_TREE_SEARCH = _ioctl(_WRITE | _READ, 17, 4096)
_FS_INFO = _ioctl(_READ, 31, 1024)
_QGROUP_ASSIGN = _ioctl(_WRITE, 41, 24)
_QGROUP_CREATE = _ioctl(_WRITE, 42, 16)
_QGROUP_LIMIT = _ioctl(_READ, 43, 48)
_QUOTA_RESCAN = _ioctl(_WRITE, 44, 64)
_SUBVOL_INFO = _ioctl(_READ, 60, 504)


def has_quotas(folder: Path, sysfs: Path = SYSFS) -> bool:
    """Whether quotas are counted on the file system of this folder. OSError when it is no btrfs."""
    listed = _listing(folder, sysfs)
    return listed.is_dir() and (listed / "enabled").read_text().strip() == "1"


def counts(folder: Path, sysfs: Path = SYSFS) -> bool:
    """Whether the kernel knows what its quotas hold: where it has lost count, it holds nobody to a limit any more."""
    return (_listing(folder, sysfs) / "inconsistent").read_text().strip() == "0"


def recount(folder: Path) -> bool:
    """Have the kernel count anew, which it does by and by; False when it is at it already."""
    try:
        _ask(folder, _QUOTA_RESCAN, bytes(64))
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
        return False
    return True


def create(path: Path) -> None:
    """A new, empty subvolume."""
    _ask(path.parent, _SUBVOL_CREATE, struct.pack("=q4088s", 0, path.name.encode()))


def destroy(path: Path) -> None:
    """Remove a subvolume with all that is in it."""
    _ask(path.parent, _SNAP_DESTROY, struct.pack("=q4088s", 0, path.name.encode()))


def is_subvolume(path: Path) -> bool:
    """Whether this folder of a btrfs is a subvolume's root."""
    return path.stat().st_ino == ROOT_INODE


def subvolume_id(path: Path) -> int:
    """The number of the subvolume that this is in, which is also that of its quota group."""
    return int(struct.unpack_from("=Q", _ask(path, _SUBVOL_INFO, bytes(504)))[0])


def limit(path: Path, size: int, group: int = 0) -> None:
    """Let the subvolume, or a group of them, hold so many bytes."""
    _ask(path, _QGROUP_LIMIT, struct.pack("=QQQQQQ", group, _MAX_REFERENCED, size, 0, 0, 0))


def group_of(subvolume: int) -> int:
    """The number of the group over a subvolume's own, by which several are limited together."""
    return _GROUP_LEVEL | subvolume


def held(folder: Path, subvolume: int, *, together: bool, sysfs: Path = SYSFS) -> Path:
    """The file in which the kernel says how many bytes a subvolume holds, or all of the group over its own."""
    return _listing(folder, sysfs) / f"{int(together)}_{subvolume}" / "referenced"


def have_group(folder: Path, group: int) -> None:
    """Make a quota group; nothing when it is there."""
    try:
        _ask(folder, _QGROUP_CREATE, struct.pack("=QQ", 1, group))
    except FileExistsError:
        return


def join(folder: Path, subvolume: int, group: int) -> None:
    """Have a subvolume counted in a group; nothing when it is.

    One that shares contents with another makes the kernel lose count: an empty one is to join.
    """
    try:
        _ask(folder, _QGROUP_ASSIGN, struct.pack("=QQQ", 1, subvolume, group))
    except FileExistsError:
        return


def exchange(one: Path, other: Path) -> None:
    """Each takes the other's place, at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def forget_stale_groups(folder: Path, sysfs: Path = SYSFS) -> int:
    """Remove quota groups whose subvolume is gone; how many there were. A group that is still in use stays.

    So does one whose bytes are not yet counted away: the kernel loses count when it goes before them.
    """
    gone = 0
    listed = _listing(folder, sysfs)
    for level, subvolume in sorted(groups(folder, sysfs)):
        if _exists(folder, subvolume) or not _is_empty(listed / f"{level}_{subvolume}"):
            continue
        try:
            _ask(folder, _QGROUP_CREATE, struct.pack("=QQ", 0, level << 48 | subvolume))
        except OSError:
            continue
        gone += 1
    return gone


def groups(folder: Path, sysfs: Path = SYSFS) -> list[tuple[int, int]]:
    """Level and subvolume of every group that is one subvolume's, in the kernel's own list."""
    listed = _listing(folder, sysfs)
    names = [each.name.split("_") for each in listed.iterdir()] if listed.is_dir() else []
    numbers = [(int(name[0]), int(name[1])) for name in names if len(name) == 2]
    return [(level, subvolume) for level, subvolume in numbers if level < 2 and subvolume >= _FIRST_SUBVOLUME]


def _is_empty(group: Path) -> bool:
    try:
        return all((group / kind).read_text().strip() == "0" for kind in ("referenced", "exclusive"))
    except OSError:  # the kernel takes it away at this moment
        return False


def _listing(folder: Path, sysfs: Path) -> Path:
    """Where the kernel lists this file system's groups while it counts them."""
    found = struct.unpack_from("=QQ16s", _ask(folder, _FS_INFO, bytes(1024)))[2]
    return sysfs / str(uuid.UUID(bytes=found)) / "qgroups"


def _exists(folder: Path, subvolume: int) -> bool:
    key = struct.pack(
        "=7Q4I4Q",
        _ROOT_TREE,
        subvolume,
        subvolume,
        0,
        2**64 - 1,
        0,
        2**64 - 1,
        _ROOT_ITEM,
        _ROOT_ITEM,
        1,
        0,
        0,
        0,
        0,
        0,
    )
    return bool(struct.unpack_from("=I", _ask(folder, _TREE_SEARCH, key.ljust(4096, b"\0")), 64)[0])


def _ask(path: Path, request: int, argument: bytes) -> bytes:
    with _opened(path) as folder:
        answer = bytearray(argument)
        fcntl.ioctl(folder, request, answer, True)
        return bytes(answer)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)
