"""The containers' name server: packets come in from both bridges, checked answers go out; `names` has the rules.

One thread with one loop. Its sockets lie in the network namespace of the bridges; others are asked from the own.
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message

from infra.hostagent.network import names
from infra.hostagent.network.admissions import Admissions
from infra.hostagent.network.egress import EgressFailed, Guest

log = logging.getLogger("berth.agent.names")

ASKED_SECONDS = 2.0
"""How long one of the resolvers may take before the next is asked."""
IDLE_SECONDS = 5.0
READY_SECONDS = 5.0
AT_ONCE, AT_ONCE_EACH = 512, 64
"""Questions being answered, of all containers and of one; what comes beyond is dropped, and asked again."""
STREAMS = 256
ANY = "0.0.0.0"  # noqa: S104 - the packet rules let nobody in but the bridges
_NEW_NETWORK = 0x40000000


class NoSockets(Exception):
    """The name server cannot listen here; the text says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the questions of one bridge come in."""

    packets: socket.socket
    streams: socket.socket

    @property
    def port(self) -> int:
        return int(self.packets.getsockname()[1])


class NameServer:
    """Answers containers on the open bridge for any public name, and those on the held one for theirs."""

    def __init__(self, netns: str | None, resolvers: Sequence[str], admissions: Admissions) -> None:
        self._resolvers = tuple(resolvers)
        self._admissions = admissions
        self.open, self.held = _in_namespace(netns, lambda: (_door(), _door()))
        self._under_way: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="names")

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        self._ready.wait(READY_SECONDS)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(5.0)
        for door in (self.open, self.held):
            door.packets.close()
            door.streams.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            log.exception("the name server has ended: no container resolves names until the agent is started again")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        for door in (self.open, self.held):
            held = door is self.held
            await self._loop.create_datagram_endpoint(_packets(self, held=held), sock=door.packets)
            await asyncio.start_server(self._stream_of(held=held), sock=door.streams, limit=1 << 16)
        self._ready.set()
        await self._over.wait()

    async def packet(self, wire: bytes, source: str, *, held: bool) -> bytes | None:
        """The answer to one packet, if it deserves one."""
        with self._place_for(source) as has_place:
            return await self._answer(wire, source, held=held, stream=False) if has_place else None

    @contextlib.contextmanager
    def _place_for(self, source: str) -> Iterator[bool]:
        has_place = self._under_way.total() < AT_ONCE and self._under_way[source] < AT_ONCE_EACH
        self._under_way[source] += has_place
        try:
            yield has_place
        finally:
            self._under_way[source] -= has_place
            if not self._under_way[source]:
                del self._under_way[source]

    async def _answer(self, wire: bytes, source: str, *, held: bool, stream: bool) -> bytes | None:
        query = names.question_in(wire)
        if query is None:
            return None
        guest = self._admissions.who(source) if held else None
        if held and guest is None:
            return None  # released just now
        answer = names.settled(query, guest.domains if guest else None)
        if answer is None:
            answer = await self._found(query, guest)
        return names.packed(query, answer, stream=stream)

    async def _found(self, query: dns.message.Message, guest: Guest | None) -> names.Answer:
        found = await self._ask_others(names.onward(query))
        if found is None:
            return names.failed(query)
        answer = names.answered(query, found)
        if guest is not None and answer.addresses:
            try:
                await asyncio.to_thread(self._admissions.reach, guest, answer.addresses, answer.seconds)
            except EgressFailed as error:
                log.warning("addresses not admitted", extra={"engine_name": guest.name, "reason": str(error)})
                return names.failed(query)
        return answer

    async def _ask_others(self, query: dns.message.Message) -> dns.message.Message | None:
        for resolver in self._resolvers:
            with contextlib.suppress(dns.exception.DNSException, OSError, EOFError, ValueError):
                found, _ = await dns.asyncquery.udp_with_fallback(query, resolver, timeout=ASKED_SECONDS)
                return found
        return None

    def _stream_of(self, *, held: bool) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = str(writer.get_extra_info("peername")[0])
            self._streams[source] += 1
            try:
                if self._streams.total() <= STREAMS and self._streams[source] <= AT_ONCE_EACH:
                    await self._converse(reader, writer, source, held=held)
            except (OSError, EOFError, TimeoutError):
                pass
            finally:
                self._streams[source] -= 1
                if not self._streams[source]:
                    del self._streams[source]
                writer.close()

        return serve

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str, *, held: bool
    ) -> None:
        """One question after the other, each with its length before it."""
        while True:
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), IDLE_SECONDS), "big")
            wire = await asyncio.wait_for(reader.readexactly(length), IDLE_SECONDS)
            answer = await self._answer(wire, source, held=held, stream=True)
            if answer is None:
                return
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await asyncio.wait_for(writer.drain(), IDLE_SECONDS)


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer, *, held: bool) -> None:
        self._server = server
        self._held = held
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._reply(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            answer = await self._server.packet(data, addr[0], held=self._held)
        except Exception:
            log.exception("a question broke the name server's answer")
            return
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def _packets(server: NameServer, *, held: bool) -> Callable[[], _Packets]:
    return lambda: _Packets(server, held=held)


def _door() -> Door:
    """Two sockets of one port: the kernel chooses it for one, and the other may find it taken."""
    for _ in range(16):
        packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        packets.bind((ANY, 0))
        streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            streams.bind(packets.getsockname())
        except OSError:
            packets.close()
            streams.close()
            continue
        packets.setblocking(False)
        streams.setblocking(False)
        return Door(packets, streams)
    raise NoSockets("no port is free")


def _in_namespace(netns: str | None, make: Callable[[], tuple[Door, Door]]) -> tuple[Door, Door]:
    """Made by a thread that enters the namespace and ends there: sockets stay where they were made."""
    made: list[tuple[Door, Door]] = []
    reasons: list[str] = []

    def enter() -> None:
        try:
            if netns is not None:
                _enter(netns)
            made.append(make())
        except (OSError, NoSockets) as error:
            reasons.append(str(error))

    thread = threading.Thread(target=enter, name="names-sockets")
    thread.start()
    thread.join()
    if not made:
        raise NoSockets(f"the name server cannot listen: {reasons[0]}")
    return made[0]


def _enter(netns: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def resolvers_of(resolv_conf: Path) -> tuple[str, ...]:
    """The name servers in a resolver configuration."""
    servers = []
    for line in resolv_conf.read_text().splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_ipv4(words[1]):
            servers.append(words[1])
    return tuple(dict.fromkeys(servers))


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False
