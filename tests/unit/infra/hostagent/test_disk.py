"""Which way a host has to limit disks, and what the engine is told where that is its own."""

import errno
import os
from pathlib import Path

import pytest

from infra.hostagent.ports import EngineFacts, EngineRefused, NotThere
from infra.hostagent.profile import Bound, profile_of
from infra.hostagent.quotas.disk import MEGABYTE, START_ROOM_MB, Disk, Statvfs, StorageOption, Unenforced, disk_of
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine

ROOT = Path("/")


def facts(driver: str, backing: str) -> EngineFacts:
    return EngineFacts("29.5.1", "6.1", 2, 16_000, "/", storage=(driver, backing))


@pytest.mark.parametrize(
    ("driver", "backing", "sizes", "way"),
    [
        ("overlay2", "xfs", True, StorageOption),
        ("overlay2", "xfs", False, Unenforced),
        ("overlay2", "extfs", True, Unenforced),
        ("overlay2", "btrfs", True, Unenforced),
        ("overlayfs", "xfs", True, Unenforced),
        ("btrfs", "btrfs", True, Unenforced),
        ("", "", True, Unenforced),
    ],
)
def test_the_way_is_the_engines_where_it_has_one(driver: str, backing: str, sizes: bool, way: type[Disk]) -> None:
    """The one on btrfs needs one: `tests/docker/test_disk.py`. Here the folder is on no btrfs, whatever is said."""
    disk = disk_of(FakeEngine(sizes=sizes), facts(driver, backing), ROOT)

    assert isinstance(disk, way)
    assert disk.enforced is (way is StorageOption)


def test_the_engine_is_told_how_much_a_container_may_write() -> None:
    engine = FakeEngine(present={"debian:bookworm"})
    profile = profile_of(a_spec(), "host", "network", 2)

    told = StorageOption(engine).told(profile, 2048)

    assert told.host_config["storage_opt"] == {"size": "2048M"}
    assert told.host_config["mounts"] == []
    assert "storage_opt" not in profile.host_config


def test_volumes_of_an_image_have_their_share_of_what_was_granted_and_no_more() -> None:
    engine = FakeEngine(present={"debian:bookworm"}, volumes={"debian:bookworm": ("/data", "/log")})
    profile = profile_of(a_spec(), "host", "network", 2)

    config = StorageOption(engine).told(profile, 3000).host_config

    assert config["storage_opt"] == {"size": "1000M"}
    assert [mount["Target"] for mount in config["mounts"]] == ["/data", "/log"]
    for mount in config["mounts"]:
        assert mount["VolumeOptions"]["DriverConfig"]["Options"] == {"size": "1000M"}


def test_a_volume_in_the_place_of_one_of_our_files_is_none() -> None:
    engine = FakeEngine(present={"debian:bookworm"}, volumes={"debian:bookworm": ("/etc/hosts/", "data")})
    bound = (Bound("/host/hosts", "/etc/hosts"),)

    config = StorageOption(engine).told(profile_of(a_spec(), "host", "network", 2, bound), 100).host_config

    assert [mount["Target"] for mount in config["mounts"]] == ["/etc/hosts", "/data"]
    assert config["mounts"][0]["ReadOnly"]
    assert config["storage_opt"] == {"size": "50M"}


def test_where_nothing_is_enforced_nothing_is_told() -> None:
    profile = profile_of(a_spec(), "host", "network", 2)

    assert Unenforced().told(profile, 10) == profile


def statvfs_of(sizes: dict[str, tuple[int, int]]) -> Statvfs:
    """By the ends of paths: blocks of 4 KiB in all, and free."""

    def statvfs(folder: Path) -> os.statvfs_result:
        found = [each for end, each in sizes.items() if str(folder).endswith(end)]
        if not found:
            raise FileNotFoundError(folder)
        blocks, free = found[0]
        return os.statvfs_result((4096, 4096, blocks, free, free, 0, 0, 0, 0, 255))

    return statvfs


@pytest.mark.parametrize(
    ("layer", "volume", "used"),
    [
        ((1000, 900), (1000, 990), 110 * 4096),
        ((1000, 0), (1000, 1000), 1000 * 4096),
        ((1000, 900), (9000, 100), None),
        ((9000, 100), (9000, 100), None),
    ],
)
def test_a_folder_with_a_limit_of_its_own_says_how_full_it_is(
    layer: tuple[int, int], volume: tuple[int, int], used: int | None
) -> None:
    """As xfs says it: without a limit a folder is as large as the file system."""
    engine = FakeEngine(present={"debian:bookworm"}, volumes={"debian:bookworm": ("/data",)})
    engine_id = engine.create(profile_of(a_spec(), "host", "network", 2))
    sizes = {engine_id: layer, "_data": volume, "/data": (9000, 100), "/volumes": (9000, 100)}

    gauge = StorageOption(engine, Path("/engine"), statvfs_of(sizes)).gauge(engine_id)

    assert gauge() == used
    assert engine.calls.count("writable") == 1


def test_a_folder_that_is_gone_says_nothing() -> None:
    engine = FakeEngine(present={"debian:bookworm"})
    engine_id = engine.create(profile_of(a_spec(), "host", "network", 2))

    assert StorageOption(engine, ROOT, statvfs_of({})).gauge(engine_id)() is None


def test_who_is_not_there_has_no_gauge() -> None:
    with pytest.raises(NotThere):
        StorageOption(FakeEngine()).gauge("nobody")


def test_a_full_container_has_room_to_start_and_is_held_to_what_it_was_granted_again() -> None:
    """Also after an agent that died in the middle: the limit is what was granted, not what is found."""
    engine = FakeEngine(present={"debian:bookworm"}, volumes={"debian:bookworm": ("/data",)})
    engine_id = engine.create(profile_of(a_spec(), "host", "network", 2))
    layer = Path("/engine") / engine.writable(engine_id).layer.lstrip("/")
    asked: list[tuple[Path, int]] = []

    with StorageOption(engine, Path("/engine"), limit=lambda *each: asked.append(each)).limited(engine_id, 100):
        assert asked == [(layer, (50 + START_ROOM_MB) * MEGABYTE)]

    assert asked[1:] == [(layer, 50 * MEGABYTE)]


def test_where_no_room_can_be_given_a_container_is_started_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine(present={"debian:bookworm"})
    engine_id = engine.create(profile_of(a_spec(), "host", "network", 2))
    started = []

    def refuse(_folder: Path, _size: int) -> None:
        raise OSError(errno.ENOSYS, "no such call")

    with StorageOption(engine, limit=refuse).limited(engine_id, 100):
        started.append(engine_id)

    assert started == [engine_id]
    assert "a full container would not start" in caplog.text


def test_a_limit_that_cannot_be_taken_back_is_no_start() -> None:
    engine = FakeEngine(present={"debian:bookworm"})
    engine_id = engine.create(profile_of(a_spec(), "host", "network", 2))
    asked = []

    def once(_folder: Path, size: int) -> None:
        asked.append(size)
        if len(asked) > 1:
            raise OSError(errno.EIO, "the disk is broken")

    with (
        pytest.raises(EngineRefused, match="the disk is broken"),
        StorageOption(engine, limit=once).limited(engine_id, 1),
    ):
        pass
