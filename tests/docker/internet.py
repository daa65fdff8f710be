"""An internet of our own round a real engine: public addresses, a metadata service, and the name server of it all."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from infra.ground.engine import Engine
from tests.aws import ROOT

ALLOWED, OTHER, CDN = "198.51.100.10", "198.51.100.11", "198.51.100.12"
METADATA, PRIVATE = "169.254.169.254", "10.98.76.54"
NAMES_AT = "127.53.0.1"
HTTP, MAIL = 80, 25

_GATEWAY = "198.51.100.1"


@dataclass
class Upstream:
    """What everybody's names resolve to: a name server that takes down what it was asked."""

    zone: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Records as text by name and type of the question: `name ttl IN type data`, whatever else they answer."""
    asked: list[str] = field(default_factory=list)

    def answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(name)
        reply = dns.message.make_response(query)
        records = self.zone.get((name.lower(), kind))
        if records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        for record in records or ():
            owner, ttl, _, rdtype, data = record.split(" ", 4)
            target = f"{data}." if rdtype == "CNAME" else data
            reply.answer.append(dns.rrset.from_text(f"{owner}.", int(ttl), "IN", rdtype, target))
        return reply.to_wire()


@contextlib.contextmanager
def upstream_at(address: str) -> Iterator[Upstream]:
    """The name server, on port 53 of an address of this machine."""
    upstream = Upstream()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((address, 53))

        def serve() -> None:
            while True:
                try:
                    wire, who = listening.recvfrom(4096)
                    if not wire:
                        return
                    listening.sendto(upstream.answer(wire), who)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield upstream
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (address, 53))
        thread.join(5)


@contextlib.contextmanager
def internet_beside(engine: Engine) -> Iterator[None]:
    """Addresses of the world, one wire away from the engine's bridges; on each a page that says who asked."""
    name = f"berth-world-{os.getpid()}"
    beside = ["nsenter", f"--net={engine.netns}"] if engine.netns else []
    outer, inner = f"wo{os.getpid() % 100_000}", f"wi{os.getpid() % 100_000}"
    run("ip", "netns", "add", name)
    try:
        run(*beside, "ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        run(*beside, "ip", "link", "set", inner, "netns", f"/run/netns/{name}")
        run(*beside, "ip", "addr", "add", f"{_GATEWAY}/24", "dev", outer)
        run(*beside, "ip", "link", "set", outer, "up")
        for address in (METADATA, PRIVATE):
            run(*beside, "ip", "route", "add", address, "dev", outer)
        for address in (ALLOWED, OTHER, CDN):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", inner)
        for address in (METADATA, PRIVATE):
            run("ip", "-n", name, "addr", "add", f"{address}/32", "dev", inner)
        run("ip", "-n", name, "link", "set", inner, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "route", "add", "default", "via", _GATEWAY)
        with _servers(name):
            yield
    finally:
        subprocess.run([*beside, "ip", "link", "del", outer], check=False, capture_output=True)
        run("ip", "netns", "del", name)


@contextlib.contextmanager
def _servers(namespace: str) -> Iterator[None]:
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-m", "tests.docker.internet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "listening"
        try:
            yield
        finally:
            process.kill()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def serve_all() -> None:
    """In the world's namespace: say on every address and port which address that is."""
    listening = [socket.create_server(("0.0.0.0", port), backlog=64) for port in (HTTP, MAIL, 443, 465, 587, 53)]
    threads = [threading.Thread(target=_greet, args=(each,)) for each in listening]
    for thread in threads:
        thread.start()
    sys.stdout.write(json.dumps("listening") + "\n")
    sys.stdout.flush()
    for thread in threads:
        thread.join()


def _greet(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_page, args=(connection,), daemon=True).start()


def _page(connection: socket.socket) -> None:
    """An answer at once; then whatever comes is given back, until the other side ends."""
    with connection, contextlib.suppress(OSError):
        connection.sendall(f"HTTP/1.0 200 OK\r\n\r\nthis is {connection.getsockname()[0]}\n".encode())
        while more := connection.recv(4096):
            connection.sendall(more)


if __name__ == "__main__":
    serve_all()
