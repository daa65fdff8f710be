"""What the agent's core relies on of a disk, whichever its way; over btrfs it is `tests/docker/test_disk.py`."""

import pytest

from infra.hostagent.profile import profile_of
from infra.hostagent.quotas.disk import Disk, StorageOption, Unenforced
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine


def engine_with_one() -> FakeEngine:
    """A container, on an engine without a disk."""
    engine = FakeEngine(present={a_spec().image})
    engine.create(profile_of(a_spec(), "host", "network", 2))
    return engine


ENGINE_ID = next(iter(engine_with_one().rows))


@pytest.fixture(params=["memory", "unenforced", "storage option"])
def disk(request: pytest.FixtureRequest) -> Disk:
    ways = {
        "memory": MemoryDisk(),
        "unenforced": Unenforced(),
        "storage option": StorageOption(engine_with_one()),
    }
    return ways[request.param]


def test_a_profile_keeps_all_it_had(disk: Disk) -> None:
    spec = a_spec()
    profile = profile_of(spec, "host", "network", 2)

    told = disk.told(profile, 1024)

    assert (told.name, told.container, told.network) == (profile.name, profile.container, profile.network)
    assert {name: told.host_config[name] for name in profile.host_config} == profile.host_config
    assert profile == profile_of(spec, "host", "network", 2)


def test_everything_may_be_done_twice(disk: Disk) -> None:
    for _ in range(2):
        with disk.limited(ENGINE_ID, 1024):
            pass
        disk.sweep()


def test_it_lets_through_what_goes_wrong_at_a_start(disk: Disk) -> None:
    with pytest.raises(RuntimeError), disk.limited(ENGINE_ID, 1024):
        raise RuntimeError


def test_a_disk_says_whether_it_holds(disk: Disk) -> None:
    assert disk.enforced is not isinstance(disk, Unenforced)


def test_a_gauge_that_cannot_tell_says_so(disk: Disk) -> None:
    gauge = disk.gauge(ENGINE_ID)

    assert gauge() == gauge() == (0 if isinstance(disk, MemoryDisk) else None)
