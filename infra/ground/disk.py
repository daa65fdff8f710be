"""A disk with quotas for an engine: a folder comes in, a btrfs in a sparse file beside it is mounted there.

Where the machine's own file system knows no project quotas, this is what a container's limit is made of (ADR 0016).
It is mounted in the engine's mount namespace alone, and goes with it; the file stays, and with it the images.
"""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

from infra.ground.errors import PackagesMissing
from infra.ground.packages import Say, ensure_programs, find

SHARE = 0.5
"""Of what is free on the machine's disk: how large the file may grow."""

LEAST_BYTES = 512 * 1024 * 1024
RELEASE_SECONDS = 10.0
_OPTIONS = "loop,noatime,discard=async"


def mount_disk(folder: Path, namespace: int, say: Say) -> bool:
    """Mount it over the folder in the mount namespace of that process; False, and said so, where that cannot be."""
    image = image_of(folder)
    try:
        ensure_programs(["mkfs.btrfs"], say)
        folder.mkdir(parents=True, exist_ok=True)
        if image.exists() and _mounted(image, folder, namespace):
            return True
        _make(image)
        if _mounted(image, folder, namespace):
            return True
        reason = "it cannot be mounted"
    except (PackagesMissing, OSError, subprocess.CalledProcessError) as error:
        reason = str(error)
    image.unlink(missing_ok=True)
    say(f"no disk with quotas for this engine ({reason}): what containers write is not limited")
    return False


def image_of(folder: Path) -> Path:
    """The file that it is in."""
    return folder.with_name(f"{folder.name}.btrfs")


def unmount_disk(folder: Path, namespace: int) -> None:
    """Take it away from that process's mount namespace, as far as it is there."""
    _succeeds("nsenter", f"--mount=/proc/{namespace}/ns/mnt", "umount", "--recursive", str(folder))


def await_release(folder: Path) -> None:
    """Wait until the kernel has let go of the file: a loop device ends with its last mount, soon but not at once."""
    ends = time.monotonic() + RELEASE_SECONDS
    with contextlib.suppress(PermissionError):  # then it was never ours to mount
        while image_of(folder).exists() and _looped(image_of(folder)) and time.monotonic() < ends:
            time.sleep(0.02)


def _make(image: Path) -> None:
    size = int(shutil.disk_usage(image.parent).free * SHARE)
    if size < LEAST_BYTES:
        raise OSError("the machine's disk is nearly full")
    unfinished = image.with_name(f"{image.name}.new")
    with unfinished.open("wb") as file:
        file.truncate(size)
    command = [find("mkfs.btrfs") or "mkfs.btrfs", "-q", "-m", "single", str(unfinished)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    unfinished.rename(image)


def _mounted(image: Path, folder: Path, namespace: int) -> bool:
    inside = ["nsenter", f"--mount=/proc/{namespace}/ns/mnt"]
    mounted = _succeeds(*inside, "mount", "-t", "btrfs", "-o", _OPTIONS, str(image), str(folder))
    if mounted and not _succeeds(*inside, find("btrfs") or "btrfs", "quota", "enable", str(folder)):
        unmount_disk(folder, namespace)
        return False
    return mounted


def _looped(image: Path) -> bool:
    """By the kernel's own list of what its loop devices read."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if backing.read_text().strip().removesuffix(" (deleted)") == str(image):
                return True
    return False


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
