"""A world round the engine to be reached or not: an engine comes in, addresses that answer outside it go out.

A network namespace behind the engine's own, with a card that has a metadata service's address, private ones and one
of the public internet (TEST-NET-3). Everything there answers on some ports, so that silence means a wall.
"""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from infra.ground.engine import Engine

METADATA = ("169.254.169.254", "169.254.170.2")
PRIVATE = ("10.66.0.1", "172.16.66.1", "192.168.66.1", "100.64.66.1", "198.18.66.1")
INTERNET = "203.0.113.66"
PORTS = (22, 25, 80, 443, 2375, 4566, 7070)
MACHINES = "/proc/1/ns/net"
"""Where the bridges of a machine's own engine are."""

_LISTENER = """
import selectors, socket, sys
wanted, chosen = selectors.DefaultSelector(), []
for port in map(int, sys.argv[1:]):
    server = socket.create_server(("0.0.0.0", port), backlog=4096)
    server.setblocking(False)
    wanted.register(server, selectors.EVENT_READ)
print("listening", flush=True)
held = []
while True:
    for key, _ in wanted.select():
        try:
            connection, _ = key.fileobj.accept()
            held.append(connection)
            connection.send(b"here\\n")
        except OSError:
            pass
    if len(held) > 900:
        held.pop(0).close()
"""
_DATAGRAMS = """
import socket, sys
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
while True:
    print(heard.recvfrom(2048)[1][0], flush=True)
"""


@dataclass(frozen=True, slots=True)
class World:
    """What lies round the engine."""

    engine_netns: str
    host_port: int
    """A port on which something listens on every address of the engine's namespace."""

    def answers(self, address: str, port: int) -> bool:
        """Whether it does when the engine's host itself asks: else a container's silence would mean nothing."""
        program = (
            f"import socket; print(socket.create_connection(('{address}', {port}), 2).recv(9) == b'here' + b'\\n')"
        )
        command = ["nsenter", f"--net={self.engine_netns}", sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, check=False).stdout == b"True\n"


@contextlib.contextmanager
def world_round(engine: Engine) -> Iterator[World]:
    """It stands while the context does; nothing of it stays."""
    assert os.geteuid() == 0, "run as root: the probes change what the engine's host can reach"
    netns = engine.netns or MACHINES
    key = uuid.uuid4().hex[:6]
    name, near, far = f"berth-world-{key}", f"bw{key}a", f"bw{key}b"
    inside = ["nsenter", f"--net={netns}"]
    outside = ["nsenter", f"--net=/run/netns/{name}"]
    addresses = (*METADATA, *PRIVATE, INTERNET)
    with contextlib.ExitStack() as stack:
        _run("ip", "netns", "add", name)
        stack.callback(_run, "ip", "netns", "del", name)
        _run(*inside, "ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _run(*inside, "ip", "addr", "add", "203.0.113.1/32", "peer", "203.0.113.2", "dev", near)
        _run(*inside, "ip", "link", "set", near, "up")
        for each in ("203.0.113.2/32 peer 203.0.113.1", *(f"{address}/32" for address in addresses)):
            _run(*outside, "ip", "addr", "add", *each.split(), "dev", far)
        _run(*outside, "ip", "link", "set", "lo", "up")
        _run(*outside, "ip", "link", "set", far, "up")
        _run(*outside, "ip", "route", "add", "default", "via", "203.0.113.1")
        for address in addresses:
            _run(*inside, "ip", "route", "add", f"{address}/32", "via", "203.0.113.2", "src", "203.0.113.1")
        host_port = 20_000 + int(key[:3], 16)
        stack.enter_context(_listening(outside, _LISTENER, *PORTS))
        stack.enter_context(_listening(inside, _LISTENER, host_port))
        yield World(netns, host_port)


@contextlib.contextmanager
def datagrams(world: World, port: int) -> Iterator[list[str]]:
    """Senders of what has come to this port of the engine's host; the list is there at the end."""
    heard: list[str] = []
    with _listening(["nsenter", f"--net={world.engine_netns}"], _DATAGRAMS, port) as process:
        yield heard
        process.terminate()
        assert process.stdout is not None
        heard += process.stdout.read().decode().split()


@contextlib.contextmanager
def _listening(where: list[str], program: str, *ports: int) -> "Iterator[subprocess.Popen[bytes]]":
    command = [*where, sys.executable, "-c", program, *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield process
        finally:
            process.kill()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
