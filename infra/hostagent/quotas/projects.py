"""Project quotas of xfs: a folder and bytes come in, its project may hold so many; OSError when the kernel says no.

By `quotactl_fd` (Linux 5.14) on the folder itself: the other call wants the disk's device file, and the agent's unit
shows it none. Numbers and layouts are those of linux/dqblk_xfs.h, linux/quota.h and linux/fs.h.
"""

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

_QUOTACTL_FD = 443
"""Of every architecture."""

_PROJECTS = 2
_SET_LIMITS = (ord("X") << 8 | 4) << 8 | _PROJECTS
_GET_ATTRIBUTES = 2 << 30 | 28 << 16 | ord("X") << 8 | 31
_ATTRIBUTES = struct.Struct("=5I8x")
_QUOTA = struct.Struct("=bbHI6QiiHHbbbb3QiHh8s")
_VERSION, _OF_PROJECT = 1, 2
_BLOCKS_SOFT, _BLOCKS_HARD = 1 << 2, 1 << 3
_BLOCK_BYTES = 512


def limit(folder: Path, size: int) -> None:
    """So many bytes and no more in the folder's project; OSError ENODATA where it has none."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        project = _project(descriptor)
        if project == 0:
            raise OSError(errno.ENODATA, "the folder has no project")
        _call(descriptor, _SET_LIMITS, project, limits(project, size))
    finally:
        os.close(descriptor)


def limits(project: int, size: int) -> bytes:
    """A `struct fs_disk_quota` that sets the limits of a project's blocks, and nothing else."""
    blocks = size // _BLOCK_BYTES
    of_blocks, of_files, rest = (blocks, blocks), (0, 0), (0, 0)
    numbers = (*of_blocks, *of_files, *rest, *[0] * 8, 0, 0, 0, 0, 0, 0, b"")
    return _QUOTA.pack(_VERSION, _OF_PROJECT, _BLOCKS_SOFT | _BLOCKS_HARD, project, *numbers)


def _project(descriptor: int) -> int:
    answer = bytearray(_ATTRIBUTES.size)
    fcntl.ioctl(descriptor, _GET_ATTRIBUTES, answer)
    return int(_ATTRIBUTES.unpack(answer)[3])


def _call(descriptor: int, command: int, project: int, quota: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.syscall(
        ctypes.c_long(_QUOTACTL_FD), ctypes.c_uint(descriptor), ctypes.c_uint(command), ctypes.c_uint(project), quota
    )
    if done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
