"""Without a mechanism the suite fails: the short form of `make ablate`, which looks where each is missed first."""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.__main__ import _row
from tests.faults.ablations import ABLATIONS, Ablation, Finding, ablate, first_flows
from tests.faults.crashpoints import FLOWS, run_plain

NOTICED_SECONDS = 15.0
"""I4: how long a record may say `running` with nothing behind it on a healthy host, which is what M5 is for."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.mechanism)
def test_a_world_without_the_mechanism_breaks_an_invariant(ablation: Ablation) -> None:
    finding = ablate(ablation, first_flows(ablation))

    assert finding.caught
    assert not finding.broken_cases["handlers"]


def test_there_are_ten_and_each_is_looked_for_somewhere() -> None:
    assert [ablation.mechanism.split()[0] for ablation in ABLATIONS] == [f"M{number}" for number in range(1, 11)]
    assert all(first_flows(ablation) for ablation in ABLATIONS)


def test_with_relists_an_end_is_noticed_in_time_and_without_it_is_not() -> None:
    """M5 shortens: what it is worth is a time."""
    [flow] = [flow for flow in FLOWS if flow.name == "event apply"]
    [relist] = [ablation for ablation in ABLATIONS if ablation.mechanism.startswith("M5 ")]

    assert run_plain(flow).healed_after <= NOTICED_SECONDS
    assert run_plain(flow, relist.parts()).violation is not None


def test_a_finding_is_a_row_of_the_table() -> None:
    finding = Finding(
        "M0", 7, Counter({"I13": 1, "handlers": 1, "I2": 1}), "create: no fault", 9, Counter({"I4": 2}), 5
    )

    assert _row(finding) == ("M0", "3 of 7", "2 of 9", "I2, I4, I13, handlers", "create: no fault")
    assert _row(Finding("M0", 7, seeds=9))[-2:] == ("none", "nothing")
