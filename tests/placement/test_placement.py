"""A hundred thousand containers on a thousand hosts, with all that goes wrong there, and what placement promises."""

from random import Random

import pytest

from tests.placement.fleet import Fleet
from tests.placement.load import RAMP, Load
from tests.placement.measure import OURS, Measured, broken, measured
from tests.placement.policies import power_of_choices
from tests.placement.simulation import RACK_SHARE, Simulation

HOSTS = 1000


@pytest.fixture(scope="module")
def run() -> Measured:
    return measured(OURS, HOSTS, 100_000)


def test_the_fleet_is_as_full_and_as_troubled_as_meant(run: Measured) -> None:
    assert run.figures.most_alive > 99_000
    assert run.figures.peak > 0.85
    assert run.figures.agent_refused > 10
    assert run.figures.unanswered > 10
    assert run.rack_records > 80 * RACK_SHARE * HOSTS


def test_every_promise_is_kept(run: Measured) -> None:
    """At most: 1 of 1,000 bounced; none without room or over-reserved; 120 s for a lost rack; the reads and writes."""
    assert broken(run) == []


@pytest.mark.parametrize(
    ("rule", "promise"),
    [("random", "bounced"), ("random", "even"), ("least loaded of all", "bounced"), ("best fit of eight", "bounced")],
)
def test_rules_that_are_not_ours_break_promises(others: dict[str, list[str]], rule: str, promise: str) -> None:
    """So the promises can be broken, and this is why the rule is ours."""
    assert promise in others[rule]


@pytest.fixture(scope="module")
def others() -> dict[str, list[str]]:
    rules = ("random", "least loaded of all", "best fit of eight")
    return {rule: broken(measured(rule, 100, 10_000)) for rule in rules}


def test_when_no_beat_of_any_host_is_heard_for_two_minutes_nothing_is_ended_and_all_find_room_after() -> None:
    fleet = Fleet(200, seed=3)
    simulation = Simulation(fleet, Load(20_000, Random(4)), power_of_choices, outage=(300, 420))

    figures = simulation.run(end=RAMP)

    assert figures.waited > 1000
    assert figures.given_up == 0
    assert figures.most_alive > 19_000
    assert simulation.leasing.ended == 0
