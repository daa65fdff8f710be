"""The line from a client to a host's agent: two sockets come in, frames go both ways until one of them ends it.

Frames are passed on as they are, text or binary, each awaited: who does not read is not written to, nor read from.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from infra.relay.api import Pass
from infra.relay.refusals import OLD_TICKET, Refused, host_silent, not_running, unauthorized

log = logging.getLogger("berth.relay")

FRAME_LIMIT = 1024 * 1024
QUERY = ("id", "newSession", "cols", "rows", "raw")
"""What of a client's query is the agent's business."""
REASON_BYTES = 123
PING_SECONDS = 20
"""Between two pings, to agents and to clients: what stands between lets go of connections that say nothing."""
OPEN_SECONDS = 15.0
"""An agent answers once the shell has begun."""
READ_SECONDS = 60.0
"""A client that takes no frame for so long is given up."""
CLOSE_SECONDS = 2.0

GREETING = "connected to berth"

Frame = str | bytes
Found = TypeVar("Found")

GONE = (OSError, RuntimeError, WebSocketDisconnect)
"""What writing to a client that left raises, at one time or another."""


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended, or is to end."""

    code: int
    reason: str = ""

    def sendable(self) -> "End":
        """The same as it may stand in a close frame: some codes are only for what never came."""
        reason = self.reason.encode()[:REASON_BYTES].decode(errors="ignore")
        if self.code == 1005:
            return End(1001, reason)
        named = 1000 <= self.code <= 1014 and self.code not in (1004, 1006)
        return End(self.code if named or 3000 <= self.code <= 4999 else 1011, reason)


ACCESS_ENDED = End(4003, "access has ended")


class Over(Exception):
    """The client is gone, or must go."""

    def __init__(self, end: End) -> None:
        super().__init__(end.code)
        self.end = end


@dataclass(frozen=True, slots=True)
class Client:
    """A client's socket."""

    socket: WebSocket
    raw: bool
    """Whether it wants what the shell prints and nothing else."""

    async def let_in(self, protocol: str | None) -> None:
        """Accept and greet it unless that was done; Over when it left meanwhile."""
        if self._is_in:
            return
        try:
            await self.socket.accept(subprotocol=protocol)
        except GONE as error:
            raise Over(End(1006)) from error
        await self.tell("connected", GREETING)

    async def refuse(self, refusal: Refused) -> None:
        """Tell it why it is not connected: by HTTP, or by a frame once it is in."""
        try:
            if not self._is_in:
                await self.socket.send_denial_response(refusal.response())
                return
            await self.tell("error", refusal.member("error"))
            await self.close(End(1013, refusal.member("error")))
        except (*GONE, Over):
            log.debug("client left before it was refused")

    async def read(self) -> Frame:
        """Its next frame, or Over."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise Over(End(message.get("code") or 1005, message.get("reason") or ""))
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def send(self, frame: Frame) -> None:
        """Pass a frame on, or Over."""
        message: dict[str, Any] = {"type": "websocket.send"}
        message["text" if isinstance(frame, str) else "bytes"] = frame
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self.socket.send(message)
        except TimeoutError as error:
            raise Over(End(1011, "the client does not read")) from error
        except GONE as error:
            raise Over(End(1006)) from error

    async def tell(self, kind: str, data: str) -> None:
        """A word of the relay's own, or Over."""
        if not self.raw:
            await self.send(json.dumps({"type": kind, "data": data}))

    async def close(self, end: End) -> None:
        """Close it unless it is."""
        if not self._is_in:
            return
        final = end.sendable()
        try:
            # One that does not read does not hear why it is closed.
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.socket.close(final.code, final.reason)
        except GONE:
            log.debug("client left before it was closed")

    @property
    def _is_in(self) -> bool:
        return self.socket.application_state is WebSocketState.CONNECTED


class _Dialled(connect):
    """A host's agent sends nobody elsewhere: what it answers is the end of it."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def dial(found: Pass, query: Mapping[str, str]) -> ClientConnection:
    """The agent's side of the line, or Refused."""
    asked = urlencode({name: query[name] for name in QUERY if name in query})
    endpoint = found.grant.endpoint.rstrip("/").replace("http", "ws", 1)
    try:
        return await _Dialled(
            f"{endpoint}/v1/containers/{found.grant.container_id}/terminal?{asked}",
            additional_headers={"Authorization": f"Bearer {found.ticket}"},
            max_size=FRAME_LIMIT,
            max_queue=4,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            compression=None,
            proxy=None,
        )
    except InvalidStatus as error:
        raise _refusal(error.response.status_code, bytes(error.response.body or b"")) from error
    except (OSError, WebSocketException, ValueError) as error:
        log.warning("host does not answer", extra={"host": found.grant.host_id, "error": type(error).__name__})
        raise host_silent() from error


def _refusal(status: int, body: bytes) -> Refused:
    if status == 401:
        return unauthorized(OLD_TICKET)
    why = Refused(status, body).member("error")[:REASON_BYTES]
    return not_running(why) if status == 409 else host_silent(why)


async def carry(
    client: Client, agent: ClientConnection, first: Iterable[Frame], *ends: Coroutine[Any, Any, End]
) -> End:
    """Frames both ways, `first` before all others, until a side or one of `ends` ends it; nothing of it runs on."""
    return await first_of(_down(client, agent), _up(client, agent, first), *ends)


async def first_of(*waiting: Coroutine[Any, Any, Found]) -> Found:
    """What the first to finish answers or raises; the others end with it."""
    tasks = [asyncio.create_task(each) for each in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return await next(each for each in tasks if each.done())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _up(client: Client, agent: ClientConnection, first: Iterable[Frame]) -> End:
    try:
        for frame in first:
            await agent.send(frame)
        while True:
            await agent.send(await client.read())
    except Over as over:
        return over.end
    except ConnectionClosed:
        # What the agent said last may still be on its way: the other direction ends it.
        never: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        return await never


async def _down(client: Client, agent: ClientConnection) -> End:
    try:
        while True:
            await client.send(await agent.recv())
    except Over as over:
        return over.end
    except ConnectionClosed:
        return End(agent.close_code or 1006, agent.close_reason or "")
