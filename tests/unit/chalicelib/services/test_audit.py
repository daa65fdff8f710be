"""The audit: what is so twice is a defect, what can be counted again is mended and told of."""

import io
import json
import logging
from datetime import timedelta

import pytest

from chalicelib.adapters.emf import EmfMetrics
from chalicelib.contract.agent_api import Held
from chalicelib.contract.events import Created, Ready
from chalicelib.domain.differences import Difference, Kind
from chalicelib.domain.host import Reserved
from chalicelib.ports import Rate
from chalicelib.services.audit import Audit
from tests.builders import USER, a_container, about
from tests.fakes.clock import FakeClock
from tests.fakes.ledger import MemoryLedger
from tests.fakes.world import World


@pytest.fixture
def world() -> World:
    """One container that runs, on the first of two hosts."""
    world = World(hosts=2)
    new = a_container(created_at=world.clock.now())
    world.containers.create(new, 5, Rate(99, 99), None, {})
    placed = world.containers.place(new, world.hosts.get("host-1"), world.clock.now())
    world.from_host(Created(**about(placed, 1, engine_id="engine")))
    world.from_host(Ready(**about(placed, 2, engine_id="engine", started_at=world.clock.now())))
    world.agents.held["host-1"] = [Held(container_id=new.id, generation=1, running=True, age_seconds=1.0)]
    return world


@pytest.fixture
def told() -> list[Difference]:
    return []


@pytest.fixture
def audit(world: World, told: list[Difference]) -> Audit:
    return Audit(world.ledger, world.agents, world.clock, told.append)


def test_a_world_that_agrees_is_told_of_in_numbers(world: World, audit: Audit) -> None:
    report = audit.run()

    assert (report.defects, report.young, report.unseen) == ((), (), ())
    assert report.counts == {
        "records": 1, "names": 1, "users": 1, "hosts": 2, "engine containers": 1, "connections": 0, "frames": 3,
    }  # fmt: skip


def test_a_drifted_counter_is_a_defect_and_stays_without_repair(world: World, audit: Audit) -> None:
    world.containers.live[USER] = 7

    [defect] = audit.run().defects

    assert (defect.kind, defect.found) == (Kind.COUNTER, "7 counted")
    assert world.containers.live[USER] == 7


def test_what_is_well_at_the_second_look_is_no_difference(world: World) -> None:
    class Healing(FakeClock):
        def sleep(self, seconds: float) -> None:
            world.containers.live[USER] = 1

    world.containers.live[USER] = 7

    assert Audit(world.ledger, world.agents, Healing(world.clock.now())).run().defects == ()


def test_a_host_that_does_not_answer_is_named(world: World, audit: Audit) -> None:
    world.agents.unreachable.add("host-2")

    assert audit.run().unseen == ("host-2",)


def test_a_container_that_died_is_given_the_time_it_may_take(world: World, audit: Audit) -> None:
    world.agents.held["host-1"] = []
    began = world.clock.now()

    [defect] = audit.run().defects

    assert defect.kind is Kind.NOT_RUNNING
    assert world.clock.now() - began == timedelta(seconds=15)


def test_counters_names_and_reservations_are_mended_and_told_of(
    world: World, audit: Audit, told: list[Difference]
) -> None:
    [container] = world.ledger.records()
    world.containers.live[USER] = 7
    world.containers.names.clear()
    world.containers.names[USER, "leaked"] = "nobody"
    host = world.hosts.rows["host-2"]
    world.hosts.rows["host-2"] = host.model_copy(update={"reserved": Reserved(containers=3)})

    report = audit.run(repair=True)

    assert report.defects == ()
    assert sorted(each.kind for each in report.mended) == ["counter", "name", "name", "reservation"]
    assert tuple(told) == report.mended
    assert world.containers.live[USER] == 1
    assert world.containers.names == {(USER, container.name): container.id}
    assert world.hosts.get("host-2").reserved == Reserved()
    assert audit.run().defects == ()


def test_what_changes_while_it_is_mended_is_left_alone(world: World, told: list[Difference]) -> None:
    class Moving(MemoryLedger):
        """Another create comes between every look at the counter and what is done about it."""

        def recount(self, user_id: str, found: int, live: int) -> None:
            world.containers.live[user_id] += 1
            super().recount(user_id, found, live)

    world.containers.live[USER] = 7
    ledger = Moving(world.containers, world.hosts, world.connections)

    [defect] = Audit(ledger, world.agents, world.clock, told.append).run(repair=True).defects

    assert (defect.kind, told, world.containers.live[USER]) == (Kind.COUNTER, [], 8)


def test_what_cannot_be_counted_again_is_left_to_people(world: World, audit: Audit, told: list[Difference]) -> None:
    world.agents.held["host-1"] = []

    [defect] = audit.run(repair=True).defects

    assert (defect.kind, told) == (Kind.NOT_RUNNING, [])


def test_a_mending_is_logged_as_an_error(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.containers.live[USER] = 7
    monkeypatch.setattr(logging.getLogger("berth"), "propagate", True)

    Audit(world.ledger, world.agents, world.clock).run(repair=True)

    assert [(record.levelname, record.message) for record in caplog.records][-1] == ("ERROR", "difference mended")


def test_what_was_found_and_mended_is_counted_by_kind(world: World, audit: Audit) -> None:
    world.hosts.rows["host-1"] = world.hosts.get("host-1").model_copy(update={"reserved": Reserved(containers=7)})
    stream = io.StringIO()

    audit.run(repair=True).measure(EmfMetrics("prod", stream))

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    [repairs] = [line for line in lines if "AuditRepairs" in line]
    assert (repairs["kind"], repairs["AuditRepairs"]) == ("reservation", [1.0])
    assert [line["Audits"] for line in lines if "Audits" in line] == [[1.0]]
