"""Connections to looked-at addresses: names that change their minds, and addresses that hide others."""

import socket
from collections.abc import Iterator

import httpcore
import pytest

from infra.hostagent.registry.errors import Forbidden
from infra.hostagent.registry.network import CheckedBackend, Network, public

PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",  # noqa: S104
    "169.254.169.254",
    "169.254.170.2", "100.64.0.1", "100.127.255.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "nonsense", "",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "104.16.0.1", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known_in_every_dress(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert public(address)


class Flips:
    """A name that means another address each time it is asked for."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0)


@pytest.fixture
def victim() -> Iterator[socket.socket]:
    """A service on loopback that must never hear a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        yield listener


def visited(victim: socket.socket) -> bool:
    try:
        victim.accept()[0].close()
    except TimeoutError:
        return False
    return True


def nobody(host: str, port: int) -> bool:
    return False


class Dialled(httpcore.SyncBackend):
    """Notes the addresses that are really connected to, and connects to none."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def connect_tcp(self, host: str, *rest: object, **named: object) -> httpcore.NetworkStream:
        self.addresses.append(host)
        raise httpcore.ConnectError("not here")


def a_backend(resolve: Flips) -> tuple[CheckedBackend, Dialled]:
    backend, dialled = CheckedBackend(Network(), nobody, resolve), Dialled()
    backend._plain = dialled
    return backend, dialled


def test_a_name_that_flips_after_it_was_looked_at_is_connected_to_where_it_was_looked_at() -> None:
    resolve = Flips(["8.8.8.8"], ["127.0.0.1"])
    backend, dialled = a_backend(resolve)

    with pytest.raises(httpcore.ConnectError):
        backend.connect_tcp("ghcr.io", 443)
    assert (dialled.addresses, resolve.asked) == (["8.8.8.8"], 1)

    with pytest.raises(Forbidden):
        backend.connect_tcp("ghcr.io", 443)
    assert dialled.addresses == ["8.8.8.8"]


def test_one_private_address_among_public_ones_spoils_the_name() -> None:
    backend, dialled = a_backend(Flips(["8.8.8.8", "127.0.0.1"]))

    with pytest.raises(Forbidden):
        backend.connect_tcp("ghcr.io", 443)
    assert dialled.addresses == []


def test_every_address_of_a_name_is_tried() -> None:
    backend, dialled = a_backend(Flips(["8.8.8.8", "1.1.1.1"]))

    with pytest.raises(httpcore.ConnectError):
        backend.connect_tcp("ghcr.io", 443)
    assert dialled.addresses == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "127.1"])
def test_spellings_of_loopback_that_the_machine_itself_resolves_are_seen_through(
    victim: socket.socket, name: str
) -> None:
    backend = CheckedBackend(Network(), nobody)

    with pytest.raises((Forbidden, httpcore.ConnectError)):
        backend.connect_tcp(name, victim.getsockname()[1])
    assert not visited(victim)


def test_a_host_that_the_operator_named_may_be_private(victim: socket.socket) -> None:
    port = victim.getsockname()[1]
    backend = CheckedBackend(Network(), lambda host, at: (host, at) == ("127.0.0.1", port))

    backend.connect_tcp("127.0.0.1", port).close()
    assert visited(victim)
