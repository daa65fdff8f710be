"""Ports for servers that are started later."""

import socket
from contextlib import ExitStack

import pytest

from infra.ground import ports
from infra.ground.ports import unclaimed_port


def test_no_outgoing_connection_can_take_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as clients:
        outgoing = [clients.enter_context(socket.create_connection(server.getsockname())) for _ in range(50)]
        assert max(unclaimed_port() for _ in range(50)) < min(each.getsockname()[1] for each in outgoing)


def test_nobody_is_given_one_twice() -> None:
    assert len({unclaimed_port() for _ in range(200)}) == 200


def test_one_that_a_server_has_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = unclaimed_port(), unclaimed_port()
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports.random.SystemRandom, "randrange", lambda *_, choices=iter((taken, free)): next(choices))
    with socket.create_server(("127.0.0.1", taken)):
        assert unclaimed_port() == free


def test_where_the_kernel_does_not_say_it_is_below_the_usual_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(ports, "_RANGE", ports.Path(f"{tmp_path}/none"))

    assert 1024 <= unclaimed_port() < 32768
