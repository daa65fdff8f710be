"""Connections that go where they should: a host comes in, a socket to an address that was looked at goes out.

A name is resolved once, every address it has is looked at, and the connection is made to one of those and no other:
what the name means a moment later (rebinding) is of no account. All this happens in the engine's network namespace.
"""

import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpcore

from infra.hostagent.registry.errors import Forbidden

_CLONE_NEWNET = 0x40000000
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Found = TypeVar("Found")
Resolve = Callable[[str, int], list[str]]


class Network:
    """The network that the engine is in; the process's own unless one is named."""

    def __init__(self, netns: str | None = None) -> None:
        self._netns = netns

    def run(self, work: Callable[[], Found]) -> Found:
        """The outcome of this, done inside; sockets that it makes stay there."""
        if self._netns is None:
            return work()
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self._netns,)) as inside:
            return inside.submit(work).result()


class CheckedBackend(httpcore.NetworkBackend):
    """httpcore's door to the network, with a look at every address; `trusts(host, port)` may be private ones."""

    def __init__(self, network: Network, trusts: Callable[[str, int], bool], resolve: Resolve | None = None) -> None:
        self._network = network
        self._trusts = trusts
        self._resolve = resolve or _addresses
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        def connect() -> httpcore.NetworkStream:
            return self._connected(self._checked(host, port), port, timeout)

        return self._network.run(connect)

    def _checked(self, host: str, port: int) -> list[str]:
        addresses = self._resolve(host, port)
        if not self._trusts(host, port) and not all(public(address) for address in addresses):
            raise Forbidden
        return addresses

    def _connected(self, addresses: list[str], port: int, timeout: float | None) -> httpcore.NetworkStream:
        failed: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                return self._plain.connect_tcp(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


def public(address: str) -> bool:
    """Whether an address is of the public internet, whatever other address it may wrap."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in _NAT64:
            wrapped.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        if any(each is not None and not public(str(each)) for each in wrapped):
            return False
        if found.ipv4_mapped is not None:
            return True
    return found.is_global and not found.is_multicast


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError("the name cannot be resolved") from error
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def _enter(netns: str) -> None:
    """This thread, and it alone, goes to the namespace."""
    import ctypes  # here, since an agent that needs no namespace may not be allowed what it needs

    handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {netns}")
    finally:
        os.close(handle)
