"""How much a container may write: megabytes come in; the engine, or the file system under it, holds to them.

Two ways to enforce, one port. Where a host has neither, its disk says so; nothing is promised there (ADR 0016).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol

from infra.hostagent.ports import Engine, EngineFacts, EngineRefused
from infra.hostagent.profile import Profile
from infra.hostagent.quotas import projects, subvolumes

log = logging.getLogger("berth.agent.disk")

MEGABYTE = 1024 * 1024
START_ROOM_MB = 4
"""More than was granted, while the engine makes its own folders in the container's layer: a full one starts, too."""


Gauge = Callable[[], int | None]
"""Bytes that a container has written and not removed; None where that cannot be told. Asks the kernel alone."""


class Disk(Protocol):
    """Limits what a container writes: its own layer, and the volumes that its image asks for, together."""

    @property
    def enforced(self) -> bool:
        """Whether a container cannot write more than it was granted."""

    def told(self, profile: Profile, disk_mb: int) -> Profile:
        """The profile, with what the engine is to know of the limit at the creation."""

    def limited(self, engine_id: str, disk_mb: int) -> AbstractContextManager[None]:
        """The limit is in force; the container is started in here. NotThere, EngineRefused, EngineDown."""

    def gauge(self, engine_id: str) -> Gauge:
        """How full the container's disk is, from now on. NotThere, EngineRefused, EngineDown."""

    def sweep(self) -> None:
        """Take away what containers that are gone have left of their limits."""


class Unenforced:
    """`Disk` of a host that cannot hold anybody to anything."""

    enforced = False

    def told(self, profile: Profile, disk_mb: int) -> Profile:  # noqa: ARG002 - that is what it is
        return profile

    def limited(self, engine_id: str, disk_mb: int) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def gauge(self, engine_id: str) -> Gauge:  # noqa: ARG002 - to count all files would take too long
        return lambda: None

    def sweep(self) -> None:
        return


Statvfs = Callable[[Path], os.statvfs_result]
Limit = Callable[[Path, int], None]
"""A folder may hold so many bytes. OSError when it cannot be made so."""


class StorageOption:
    """`Disk` by the engine's own `storage_opt`: overlay2 over xfs with project quotas, as the fleet's hosts have it."""

    enforced = True

    def __init__(
        self,
        engine: Engine,
        root: Path = Path("/"),
        statvfs: Statvfs = os.statvfs,
        limit: Limit = projects.limit,
    ) -> None:
        self._engine = engine
        self._root = root
        self._statvfs = statvfs
        self._limit = limit

    def told(self, profile: Profile, disk_mb: int) -> Profile:
        """Each volume that the image asks for has a limit of its own, so all share evenly in what is granted."""
        mounts = profile.host_config.get("mounts", [])
        asked = {normpath(f"/{each.lstrip('/')}") for each in self._engine.volumes_of(str(profile.container["image"]))}
        volumes = sorted(asked - {mount["Target"] for mount in mounts})
        size = f"{_share(disk_mb, volumes)}M"
        sized = [*mounts, *(_sized_volume(target, size) for target in volumes)]
        return replace(profile, host_config=profile.host_config | {"storage_opt": {"size": size}, "mounts": sized})

    @contextmanager
    def limited(self, engine_id: str, disk_mb: int) -> Iterator[None]:
        """The engine limits it; where the kernel gives a full container no room to start, it is tried without."""
        written = self._engine.writable(engine_id)
        layer = self._root / written.layer.lstrip("/")
        size = _share(disk_mb, written.volumes)
        try:
            self._limit(layer, (size + START_ROOM_MB) * MEGABYTE)
        except OSError as error:
            log.warning("a full container would not start", extra={"engine_id": engine_id, "reason": error.strerror})
            yield
            return
        yield
        with _refusing():
            self._limit(layer, size * MEGABYTE)

    def gauge(self, engine_id: str) -> Gauge:
        """By what xfs says of a folder that has a limit: the limit is its size there."""
        written = self._engine.writable(engine_id)
        folders = [self._root / each.lstrip("/") for each in (written.layer, *written.volumes)]

        def used() -> int | None:
            try:
                return _sum([_used(folder, self._statvfs) for folder in folders])
            except OSError:
                return None

        return used

    def sweep(self) -> None:
        return


class Subvolumes:
    """`Disk` where overlay2 lies on btrfs: the container's layer becomes a subvolume, and that has a limit."""

    enforced = True

    def __init__(self, engine: Engine, root: Path, data_root: str) -> None:
        self._engine = engine
        self._root = root
        self._data_root = self._seen(data_root)

    def told(self, profile: Profile, disk_mb: int) -> Profile:  # noqa: ARG002 - the engine has no part in it
        return profile

    @contextmanager
    def limited(self, engine_id: str, disk_mb: int) -> Iterator[None]:
        written = self._engine.writable(engine_id)
        folders = [self._seen(each) for each in (written.layer, *written.volumes)]
        with _refusing():
            ours = subvolumes.have(folders, in_use=written.running)
            if len(ours) < len(folders):
                log.warning("a container from before quotas runs without one", extra={"engine_id": engine_id})
            _limit(ours, (disk_mb + START_ROOM_MB) * MEGABYTE)
        yield
        with _refusing():
            _limit(ours, disk_mb * MEGABYTE)

    def gauge(self, engine_id: str) -> Gauge:
        """By what the kernel counts for the limit."""
        written = self._engine.writable(engine_id)
        folders = [self._seen(each) for each in (written.layer, *written.volumes)]
        with _refusing():
            ours = [folder for folder in folders if subvolumes.is_one(folder)]
            held = subvolumes.held(ours) if ours else None

        def used() -> int | None:
            try:
                return int(held.read_text()) if held else None
            except OSError:
                return None

        return used

    def sweep(self) -> None:
        """What the kernel counts is looked at, too: while it has lost count, no limit of this host holds."""
        try:
            subvolumes.sweep(self._data_root)
            if subvolumes.recount(self._data_root):
                log.warning("the kernel lost count of what containers have written; it counts anew")
        except OSError as error:
            log.warning("quotas cannot be swept", extra={"reason": str(error)})

    def _seen(self, path: str) -> Path:
        """The engine's path as it is for us."""
        return self._root / path.lstrip("/")


def disk_of(engine: Engine, facts: EngineFacts, root: Path) -> Disk:
    """The way that this host has; `root` is where the engine's file system is for us."""
    if facts.storage == ("overlay2", "xfs") and engine.takes_sizes():
        return StorageOption(engine, root)
    if facts.storage == ("overlay2", "btrfs") and _counted(root / facts.data_root.lstrip("/")):
        return Subvolumes(engine, root, facts.data_root)
    return Unenforced()


def _counted(data_root: Path) -> bool:
    """Whether somebody has turned quotas on; we do not: it is the host's file system, and all on it pay for them."""
    try:
        return subvolumes.counted(data_root)
    except OSError as error:
        log.warning("no quotas on this btrfs", extra={"reason": str(error)})
        return False


def _used(folder: Path, statvfs: Statvfs) -> int | None:
    """None where the folder has no limit, and the size of its file system instead."""
    found, around = statvfs(folder), statvfs(folder.parents[1])
    limited = found.f_blocks < around.f_blocks
    return (found.f_blocks - found.f_bfree) * found.f_frsize if limited else None


def _share(disk_mb: int, volumes: Sequence[str]) -> int:
    """Megabytes of the container's own layer, and of each volume."""
    return max(disk_mb // (1 + len(volumes)), 1)


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _sized_volume(target: str, size: str) -> dict[str, Any]:
    options = {"DriverConfig": {"Name": "local", "Options": {"size": size}}}
    return {"Type": "volume", "Target": target, "VolumeOptions": options}


def _limit(ours: list[Path], size: int) -> None:
    if ours:
        subvolumes.limit(ours, size)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineRefused(f"the disk cannot be limited: {error.strerror}") from error
