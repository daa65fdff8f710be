"""Hosts that cannot hold a container to its disk: not used, and said so; or used where the deployment allows it."""

from dataclasses import replace

import pytest

from chalicelib.contract.agent_api import RefusalCode
from chalicelib.contract.causes import Code
from chalicelib.contract.statuses import Status
from chalicelib.domain.errors import RetryLater
from chalicelib.settings import MissingSetting, Settings
from tests.builders import a_report
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import accepted, again, placed, provision, told


@pytest.fixture
def world() -> World:
    """One host, which does not limit disks."""
    world = World()
    world.hosts.heartbeat("host-1", a_report(disk_limited=False), world.clock.now())
    return world


def test_where_no_host_limits_disks_a_creation_fails_and_says_why(world: World) -> None:
    container = accepted(world)
    for attempt in (1, 2):
        with pytest.raises(RetryLater, match="limits disks"):
            provision(world, attempt)

    provision(world, 3)
    told(world)

    failed = again(world, container)
    assert failed.status is Status.ERROR
    assert failed.error is not None
    assert failed.error.code is Code.NO_CAPACITY
    assert "limit what a container writes" in failed.error.message
    assert "operator" in failed.error.message
    assert world.agents.created == []


def test_a_host_that_limits_them_and_comes_up_meanwhile_takes_it(world: World) -> None:
    container = accepted(world)
    with pytest.raises(RetryLater):
        provision(world)

    world.hosts.heartbeat("host-1", a_report(), world.clock.now())
    provision(world, 2)

    assert again(world, container).host_id == "host-1"


def test_where_the_deployment_allows_it_the_host_is_told_to_take_it_all_the_same(world: World) -> None:
    world.provisioning = replace(world.provisioning, any_disk=True)

    assert placed(world).host_id == "host-1"

    assert [spec.disk_limited for _, spec in world.agents.created] == [False]


def test_everywhere_else_a_host_is_told_to_refuse_what_it_cannot_hold() -> None:
    world = World(hosts=2)
    world.agents.refusing["host-1"] = RefusalCode.DISK_UNLIMITED

    assert placed(world).host_id == "host-2"

    assert [(host, spec.disk_limited) for host, spec in world.agents.created] == [("host-2", True)]


def test_the_setting_is_no_unless_it_is_yes() -> None:
    assert Settings.from_env({}).any_disk is False
    assert Settings.from_env({"BERTH_ANY_DISK": "yes"}).any_disk is True
    with pytest.raises(MissingSetting, match="BERTH_ANY_DISK must be yes or no"):
        Settings.from_env({"BERTH_ANY_DISK": "true"})
