"""Which credential of an upgrade counts, and which protocol is echoed."""

import pytest

from chalicelib.contract.handshakes import Shown, chosen_protocol, shown


@pytest.mark.parametrize(
    ("headers", "protocols", "query", "expected"),
    [
        ({}, [], {}, Shown()),
        ({"authorization": "Bearer  a "}, ["berth.token.b"], {"token": "c"}, Shown(token="a")),
        ({"authorization": "Basic YTpi"}, ["berth.token.b"], {"token": "c"}, Shown()),
        ({"authorization": ""}, ["berth.token.b"], {}, Shown()),
        ({}, ["rexec.v1", "rexec.token.b"], {"token": "c", "ticket": "d"}, Shown(token="b")),
        ({}, ["berth.token.b.token.c"], {}, Shown(token="b.token.c")),
        ({}, ["berth.token."], {"token": "c"}, Shown()),
        ({}, ["other.token.b", "berth.v1", ""], {"token": "c", "ticket": "d"}, Shown(token="c")),
        ({}, [], {"token": "", "ticket": "d"}, Shown()),
        ({}, [], {"ticket": "d"}, Shown(ticket="d")),
    ],
    ids=[
        "none",
        "header",
        "other scheme",
        "empty header",
        "protocol",
        "dots",
        "empty",
        "query",
        "empty query",
        "ticket",
    ],
)
def test_the_first_that_is_present_counts_whether_it_is_any_good_or_not(
    headers: dict[str, str], protocols: list[str], query: dict[str, str], expected: Shown
) -> None:
    assert shown(headers, protocols, query) == expected


@pytest.mark.parametrize(
    ("offered", "echoed"),
    [([], None), (["berth.token.x"], None), (["x", "rexec.v1", "berth.v1"], "rexec.v1"), (["berth.v2"], None)],
    ids=["nothing", "a token", "the first", "no such version"],
)
def test_a_version_that_there_is_is_echoed_and_never_a_token(offered: list[str], echoed: str | None) -> None:
    assert chosen_protocol(offered) == echoed
