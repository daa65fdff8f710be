"""Every call of every flow x {dies before, dies after, answer lost, refused, throttled}: all holds afterwards."""

import logging
from collections.abc import Iterator

import pytest

from tests.faults.crashpoints import FLOWS, Flow, cases, run_case, run_plain
from tests.faults.faults import Fault

RECOVERED_SECONDS = 180.0
"""From the beginning of a flow, fault included: the longest is two leases, or a visibility timeout and two sweeps."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_whatever_call_fails_however_every_invariant_holds_in_the_end(flow: Flow) -> None:
    done = list(cases(flow))

    assert [str(case) for case in done if case.violation] == []
    assert len(done) > 30
    assert max(case.healed_after for case in done) <= RECOVERED_SECONDS


def test_the_calls_of_a_flow_are_the_ones_it_is_known_to_make() -> None:
    """So that an enumeration that no longer reaches the code it is for is noticed."""
    [create] = [flow for flow in FLOWS if flow.name == "create"]

    calls = set(run_plain(create).calls)

    assert {"containers.create", "commands.send", "containers.place", "agent.create", "engine.create"} <= calls
    assert {"engine.start", "engine.run", "outbox.send", "containers.apply", "sockets.send"} <= calls


def test_a_case_replays_exactly() -> None:
    [create] = [flow for flow in FLOWS if flow.name == "create"]

    first, second = (run_case(create, 9, Fault.DIE_AFTER, traced=True).trace for _ in range(2))

    assert first == second
    assert any("dies after" in line for line in first)
