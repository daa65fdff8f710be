"""The operator's list of hosts: what one word says of each."""

from datetime import timedelta

import pytest

from infra.aws.operator import host_state
from tests.builders import NOW, a_host, a_report


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "up"),
        ({"report": a_report(development=True, engine_version="20.10.24")}, "up dev"),
        ({"report": a_report(development=True, engine_up=False)}, "engine down dev"),
        ({"report": a_report(development=True), "draining": True}, "draining dev"),
        ({"report": a_report(development=True), "received_at": NOW - timedelta(seconds=61)}, "silent dev"),
        ({"report": None}, "never heard"),
    ],
)
def test_a_host_with_an_engine_below_the_floor_is_marked(changes: dict[str, object], state: str) -> None:
    assert host_state(a_host(**changes), NOW) == state
