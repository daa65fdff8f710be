"""The socket of a terminal: a ticket and frames of a client come in, frames of what a shell prints go out."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from chalicelib.contract.signatures import BadSignature
from chalicelib.contract.terminals import Grant
from chalicelib.contract.tracing import bound
from infra.hostagent.containers.keeper import CallRefused
from infra.hostagent.guard import Guard
from infra.hostagent.ports import EngineError
from infra.hostagent.refusals import engine_down, refused, unauthorized
from infra.hostagent.terminals.figures import STATS_SECONDS, Figures
from infra.hostagent.terminals.frames import (
    PING,
    PONG,
    READY,
    STARTING,
    Asked,
    Ping,
    Resize,
    Typed,
    asked,
    output_frames,
    read_frame,
)
from infra.hostagent.terminals.output import PIECE_BYTES
from infra.hostagent.terminals.session import NOT_READ, Farewell, View
from infra.hostagent.terminals.terminals import Attended, Terminals
from infra.hostagent.usage.measuring import Measuring

log = logging.getLogger("berth.agent.terminal")

PING_SECONDS = 15.0
GATHER_SECONDS = 0.005
"""After a frame, small pieces are gathered so long."""
THREADS = 4
"""For readings of what containers use, each of which takes parts of a millisecond."""
CLOSE_SECONDS = 5.0
"""A client that reads nothing does not hear why it is closed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often clients hear something that nobody has printed."""

    ping_seconds: float = PING_SECONDS
    stats_seconds: float = STATS_SECONDS


USUAL_PACE = Pace()


def terminal_route(guard: Guard, terminals: Terminals, measuring: Measuring, pace: Pace = USUAL_PACE) -> WebSocketRoute:
    """The route of all terminals."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stats")

    async def terminal(socket: WebSocket) -> None:
        container_id = socket.path_params["container_id"]
        try:
            grant = guard.admit(socket.headers, container_id)
        except BadSignature as error:
            log.warning("ticket refused", extra={"container": container_id, "reason": str(error)})
            await socket.send_denial_response(unauthorized())
            return
        with bound(container=container_id, trace=grant.trace):
            wishes = asked(socket.query_params)
            attended = await _attended(terminals, grant, wishes, socket)
            if attended is not None:
                read = measuring.of(container_id, grant.generation).read
                figures = Figures(read, threads, attended.view.session.news, pace.stats_seconds)
                attendance = _Attendance(socket, attended.view, wishes.raw, figures, pace.ping_seconds)
                await attendance.serve(fresh=attended.fresh)

    return WebSocketRoute("/v1/containers/{container_id}/terminal", terminal)


async def _attended(terminals: Terminals, grant: Grant, wishes: Asked, socket: WebSocket) -> Attended | None:
    """A place at the shell; None when there is none, and that was answered."""
    try:
        return await terminals.attend(grant, wishes)
    except (CallRefused, EngineError) as error:
        await socket.send_denial_response(_answer(error))
        return None


def _answer(error: CallRefused | EngineError) -> Response:
    return refused(str(error), error.code) if isinstance(error, CallRefused) else engine_down()


@dataclass(frozen=True, slots=True)
class _Attendance:
    """One client at one shell."""

    socket: WebSocket
    view: View
    raw: bool
    figures: Figures
    ping_seconds: float

    async def serve(self, *, fresh: bool) -> None:
        """Until either end has enough."""
        try:
            await self.socket.accept()
            measured = () if self.raw else (self.figures.go_on(),)
            farewell = await _first(self._send(fresh=fresh), self._receive(), self.view.dismissed(), *measured)
        except WebSocketDisconnect:
            farewell = None
        finally:
            self.view.leave()
        if farewell is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.socket.close(farewell.code, farewell.reason)

    async def _send(self, *, fresh: bool) -> Farewell:
        """What is printed, as it comes, to the end of the shell."""
        for said in (STARTING, READY) if fresh else (READY,):
            await self._say(said)
        session, loop = self.view.session, asyncio.get_running_loop()
        ping_at = loop.time() + self.ping_seconds
        while True:
            session.news.clear()
            last = session.farewell
            for frame in output_frames(session.output.take(final=last is not None), raw=self.raw):
                await self.socket.send_text(frame)
            if loop.time() >= ping_at:
                ping_at = loop.time() + self.ping_seconds
                await self._say(PING)
            await self._say(self.figures.take())
            if len(session.output) < PIECE_BYTES and last is None:
                await asyncio.sleep(GATHER_SECONDS)
            if len(session.output):
                continue
            if last is not None:
                return last
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(ping_at):
                    await session.news.wait()

    async def _receive(self) -> Farewell | None:
        """What the client types and wants, until it is gone."""
        while (message := await self.socket.receive())["type"] == "websocket.receive":
            frame = message.get("bytes")
            try:
                await self._do(message["text"] if frame is None else frame)
            except TimeoutError:
                return NOT_READ
        return None

    async def _do(self, frame: str | bytes) -> None:
        match read_frame(frame):
            case Typed(data):
                await self.view.session.typed(data)
            case Resize(size):
                self.view.session.resize(size)
            case Ping():
                await self._say(PONG)

    async def _say(self, message: str | None) -> None:
        if message is not None and not self.raw:
            await self.socket.send_text(message)


async def _first(*works: Coroutine[Any, Any, Farewell | None]) -> Farewell | None:
    """What the first to end says; the others are ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(iter(done)).result()
