"""A private engine's own view of the machine's files: folders come in, what it sees goes out; the machine's stay."""

import ctypes
import signal
import subprocess
from pathlib import Path

from infra.ground.packages import Say

IDS = (100_000, 65_536)
"""First user outside, and how many: what root and everybody else inside containers are on the host."""

RANGES = (Path("/etc/subuid"), Path("/etc/subgid"))
NOBODY = 65_534
"""Whose name the mapping goes by, since every machine has that user."""

_PR_SET_PDEATHSIG = 1


class HeldMounts:
    """A mount namespace held by a process that does nothing.

    Containers that outlive their daemon (live-restore) are taken over by the next one, which must see the mounts
    that they were started from.
    """

    def __init__(self) -> None:
        """It is there when this returns."""
        command = ["unshare", "-m", "--propagation", "slave", "sh", "-c", "echo; exec sleep infinity"]
        self._holder = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        if self._holder.stdout is not None:
            with self._holder.stdout:
                self._holder.stdout.readline()

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    @property
    def path(self) -> str:
        """What `nsenter --mount=` takes."""
        return f"/proc/{self.pid}/ns/mnt"

    def bind(self, source: Path, target: Path) -> None:
        """Have inside what is at `source` seen at `target`."""
        self._run("mount", "--bind", str(source), str(target))

    def cover(self, folder: Path) -> None:
        """Have an empty folder inside, whatever is in it outside."""
        self._run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(folder))

    def make(self, folder: Path) -> None:
        """Have a folder inside."""
        self._run("mkdir", "-p", str(folder))

    def unmount(self, target: Path) -> None:
        """Have it gone inside; outside it stays."""
        self._run("umount", str(target))

    def release(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def _run(self, *command: str) -> None:
        enter = ["nsenter", f"--mount={self.path}"]
        subprocess.run([*enter, *command], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def map_users(mounts: HeldMounts, run: Path, say: Say) -> dict[str, str]:
    """The engine's setting by which root inside containers is nobody outside.

    The engine reads the ranges in /etc, which are the machine's own: it sees others there.
    """
    missing = [str(path) for path in RANGES if not path.exists()]
    if missing:
        say(f"root inside containers is root outside: this machine has no {' and no '.join(missing)}")
        return {}
    ranges = run / "ids"
    first, count = IDS
    ranges.write_text(f"{NOBODY}:{first}:{count}\n")
    for path in RANGES:
        mounts.bind(ranges, path)
    return {"userns-remap": f"{NOBODY}:{NOBODY}"}


def reachable(mounts: HeldMounts, data: Path, run: Path) -> Path:
    """The data folder by a path that others than root can go: inside containers nobody is root outside.

    The same path leads there outside the engine's view, by a link.
    """
    public = run / "data"
    public.mkdir()
    link = public / "engine"
    link.symlink_to(data, target_is_directory=True)
    mounts.cover(public)
    mounts.make(link)
    mounts.bind(data, link)
    return link


def die_with_parent() -> None:
    """For a child before its program: it ends when we do."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
