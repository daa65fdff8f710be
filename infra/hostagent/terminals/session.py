"""One shell on a terminal: what is typed and sized comes in, what it prints is kept for whoever attends it.

All of it is used by the event loop's thread alone. The terminal is read whether anybody attends or not: an engine whose
output nobody takes tells of nothing else in that container.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.hostagent.ports import EngineError, Size, Tty
from infra.hostagent.terminals.output import Backlog

CHUNK = 64 * 1024
READ_AT_ONCE = 256 * 1024
READ_PER_SECOND = 4 * 1024 * 1024
"""A shell that prints without end costs little."""
TYPED_BYTES = 1024 * 1024
"""So much waits for a program that does not read; then the client waits."""
TYPING_SECONDS = 60.0
RESIZE_SECONDS = 0.05
"""From one change of size to the next."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """How a socket is closed."""

    code: int
    reason: str


TAKEN_OVER = Farewell(1000, "taken over")
SHELL_ENDED = Farewell(1000, "the shell has ended")
ENGINE_GONE = Farewell(1011, "the host's engine does not answer")
NOT_READ = Farewell(1011, "the terminal takes no more input")
AGENT_ENDS = Farewell(1012, "the host's agent is ending")


class Session:
    """A shell, and at most one who attends it."""

    def __init__(
        self, exec_id: str, tty: Tty, size: Size, resize: Callable[[Size], Awaitable[None]], *, fleeting: bool
    ) -> None:
        """A fleeting one is over as soon as it is left: nobody can come back to it."""
        self.exec_id = exec_id
        self._fleeting = fleeting
        self.output = Backlog()
        self.news = asyncio.Event()
        """Something was printed, or it is over."""
        self.farewell: Farewell | None = None
        """What to say after the last output, once nothing more comes."""
        self._tty = tty
        self._typing = _Typing(tty)
        self._sizing = _Sizing(resize, size)
        self._view: View | None = None
        self._over = False
        self._changed = asyncio.Event()
        self._tasks = [asyncio.create_task(work()) for work in (self._read, self._typing.go_on, self._sizing.go_on)]

    async def _read(self) -> None:
        loop, unpaced = asyncio.get_running_loop(), 0
        chunk = self._tty.ahead
        with contextlib.suppress(OSError):
            while chunk := chunk or await loop.sock_recv(self._tty.connection, CHUNK):
                self.output.put(chunk)
                self.news.set()
                unpaced += len(chunk)
                chunk = b""
                if unpaced >= READ_AT_ONCE:
                    await asyncio.sleep(unpaced / READ_PER_SECOND)
                    unpaced = 0
        self.expire()

    async def typed(self, data: bytes) -> None:
        """Have it typed; waits while too much is waiting already, and TimeoutError when that does not end."""
        await self._typing.add(data)

    def resize(self, size: Size) -> None:
        """Have it sized; of many sizes in a short time the last counts."""
        self._sizing.want(size)

    def attend(self, size: Size) -> "View":
        """The place of the one who attends; whoever had it before is told to go."""
        if self._view is not None:
            self._view.dismiss(TAKEN_OVER)
        self._view = View(self)
        self._changed.set()
        self.resize(size)
        return self._view

    def leave(self, view: "View") -> None:
        """Nobody attends any more, unless another has taken over."""
        if self._view is view:
            self._view = None
            self._over = self._over or self._fleeting
            self._changed.set()

    def expire(self) -> None:
        """It is to be over, now."""
        self._over = True
        self._changed.set()

    def dismiss(self, farewell: Farewell) -> None:
        """Send away who attends."""
        if self._view is not None:
            self._view.dismiss(farewell)

    async def until_over(self, grace_seconds: float) -> None:
        """Returns when the shell has ended, it has to, or nobody has attended it for so long."""
        while not self._over:
            self._changed.clear()
            try:
                async with asyncio.timeout(None if self._view else grace_seconds):
                    await self._changed.wait()
            except TimeoutError:
                if self._view is None:
                    return

    async def close(self) -> None:
        """Let go of the terminal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tty.hang_up()

    def say(self, farewell: Farewell) -> None:
        """Nothing more comes; who attends is to hear this after the last output."""
        self.farewell = farewell
        self.news.set()


class View:
    """One who attends a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._dismissed: asyncio.Future[Farewell] = asyncio.get_running_loop().create_future()

    def dismiss(self, farewell: Farewell) -> None:
        """Send them away, with what is printed still unsent."""
        if not self._dismissed.done():
            self._dismissed.set_result(farewell)

    async def dismissed(self) -> Farewell:
        """Why they are sent away, once they are."""
        return await asyncio.shield(self._dismissed)

    def leave(self) -> None:
        """They are gone."""
        self.session.leave(self)


@dataclass(slots=True)
class _Typing:
    """Types what it is given, as fast as it is read."""

    tty: Tty
    _waiting: bytearray = field(default_factory=bytearray)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    async def add(self, data: bytes) -> None:
        async with asyncio.timeout(TYPING_SECONDS):
            while len(self._waiting) >= TYPED_BYTES:
                self._room.clear()
                await self._room.wait()
        self._waiting += data
        self._some.set()

    async def go_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            piece = bytes(self._waiting[:CHUNK])
            with contextlib.suppress(OSError):  # a shell that has ended reads nothing: its end is seen by reading
                await loop.sock_sendall(self.tty.connection, piece)
            del self._waiting[: len(piece)]
            self._room.set()
            if not self._waiting:
                self._some.clear()


@dataclass(slots=True)
class _Sizing:
    """Makes one change of size at a time."""

    resize: Callable[[Size], Awaitable[None]]
    size: Size
    _wanted: Size | None = None
    _some: asyncio.Event = field(default_factory=asyncio.Event)

    def want(self, size: Size) -> None:
        self._wanted = size
        self._some.set()

    async def go_on(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            if self._wanted is None or self._wanted == self.size:
                continue
            self.size = self._wanted
            with contextlib.suppress(EngineError):  # a shell that has ended has no size
                await self.resize(self.size)
            await asyncio.sleep(RESIZE_SECONDS)
