"""Where the kernel counts for a container: what it says of a process and of our mounts comes in, folders go out.

Older systems have a hierarchy of control groups for each kind of count (v1), newer ones a single one for all (v2);
those in between have both, and count in the older.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CPU, MEMORY, DISK = "cpuacct", "memory", "blkio"
"""Hierarchies of v1 with what is counted there."""
_V2 = ""
"""How `/proc/PID/cgroup` calls the single one."""


@dataclass(frozen=True, slots=True)
class Separate:
    """Folders of v1."""

    cpu: Path
    memory: Path
    disk: Path | None
    """None where the host does not count what disks do."""


@dataclass(frozen=True, slots=True)
class United:
    """The folder of v2."""

    folder: Path


Groups = Separate | United


class _Mount(NamedTuple):
    kind: str
    root: str
    """What of the hierarchy is mounted."""
    at: str


def groups_of(engine_id: str, said: str, mounts: str) -> Groups | None:
    """By `/proc/PID/cgroup` and our `/proc/self/mountinfo`; None when the process is not that container's."""
    paths, places = dict(_paths(engine_id, said)), list(_mounts(mounts))
    found = {kind: folder for kind, path in paths.items() if (folder := _folder(kind, path, places))}
    if CPU in found and MEMORY in found:
        return Separate(found[CPU], found[MEMORY], found.get(DISK))
    return United(found[_V2]) if _V2 in found else None


def _paths(engine_id: str, said: str) -> Iterator[tuple[str, str]]:
    """Hierarchies in which the process is in a group of the container's, and which: a runtime may divide it further."""
    for line in said.splitlines():
        _, kinds, path = line.split(":", 2)
        parts = path.split("/")
        own = next((number for number, part in enumerate(parts) if engine_id in part), None)
        if own is not None:
            for kind in kinds.split(","):
                yield kind, "/".join(parts[: own + 1])


def _mounts(mounts: str) -> Iterator[_Mount]:
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, (system, _, options) = before.split(), after.split(maxsplit=2)
        if system == "cgroup2":
            yield _Mount(_V2, fields[3], fields[4])
        elif system == "cgroup":
            yield from (_Mount(option, fields[3], fields[4]) for option in options.split(","))


def _folder(kind: str, path: str, mounts: list[_Mount]) -> Path | None:
    """Where the group is to be seen, if it is."""
    for mount in mounts:
        root = mount.root.rstrip("/")
        if mount.kind == kind and path.startswith(f"{root}/"):
            return Path(mount.at + path[len(root) :])
    return None
