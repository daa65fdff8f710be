"""A tier with a runtime of its own: its containers go to hosts that have it, or their users are told why not."""

import pytest

from chalicelib.contract.causes import Code
from chalicelib.domain import catalogue
from chalicelib.domain.errors import RetryLater
from tests.builders import a_report
from tests.fakes.world import World
from tests.unit.chalicelib.services.steps import accepted, again, placed, provision


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tier of the builders' callers runs its containers with gVisor."""
    tiers = catalogue.tiers()
    changed = tiers | {"free": tiers["free"].model_copy(update={"runtime": "runsc"})}
    monkeypatch.setattr(catalogue, "tiers", lambda: changed)


def test_a_tier_without_one_leaves_it_to_the_host() -> None:
    world = World()

    placed(world)

    assert world.agents.created[0][1].runtime is None


@pytest.mark.usefixtures("strict")
def test_its_containers_go_where_the_runtime_is() -> None:
    world = World(hosts=3)
    world.hosts.heartbeat("host-2", a_report(runtimes=["runc", "runsc"]), world.clock.now())

    for _ in range(4):
        assert placed(world).host_id == "host-2"

    assert {spec.runtime for _, spec in world.agents.created} == {"runsc"}


@pytest.mark.usefixtures("strict")
def test_where_no_host_has_it_they_wait_and_their_users_are_told() -> None:
    world = World(hosts=3)
    container = accepted(world)
    with pytest.raises(RetryLater, match="runsc"):
        provision(world)
    world.clock.advance(171)

    provision(world, 2)

    failed = world.events.messages[-1]
    assert failed.cause.code is Code.NO_CAPACITY
    assert "runsc" in failed.cause.message
    world.from_control_plane(failed)
    assert again(world, container).host_id is None


def test_what_a_tier_runs_on_is_not_published() -> None:
    tier = catalogue.tiers()["free"].model_copy(update={"runtime": "runsc"})

    assert "runtime" not in tier.model_dump()
