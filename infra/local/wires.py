"""A connection that can be cut: a port to reach comes in, a port that leads there goes out, until somebody cuts it.

As a network that drops packets: what is sent meanwhile is not refused but late, and the sender does not know.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

ADDRESS = "127.0.0.1"
CHUNK = 64 * 1024
LOOK_SECONDS = 0.05


@dataclass(slots=True)
class Wire:
    """One loopback port that leads to another. `cut`, `mend` and `delay_seconds` may be used from any thread."""

    target: int
    port: int = 0
    delay_seconds: float = 0.0
    """How late everything comes."""
    requests_cut: bool = False
    answers_cut: bool = False
    _server: asyncio.Server | None = None
    _carrying: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def start(self) -> None:
        """Listen; `port` is known afterwards."""
        self._server = await asyncio.start_server(self._carry, ADDRESS, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self, *, requests: bool = True, answers: bool = True) -> None:
        """Hold back what comes in, what goes back, or both."""
        self.requests_cut, self.answers_cut = requests, answers

    def mend(self) -> None:
        """Let everything through again, what was held back first."""
        self.cut(requests=False, answers=False)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._carrying.add(task)
        try:
            await self._between(reader, writer)
        finally:
            writer.close()
            if task is not None:
                self._carrying.discard(task)

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there, thither = await asyncio.open_connection(ADDRESS, self.target)
            try:
                await asyncio.gather(self._pass(reader, thither, "requests"), self._pass(there, writer, "answers"))
            finally:
                thither.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str) -> None:
        """Chunks from one side to the other; the end of one direction is its end on the other side too."""
        while chunk := await reader.read(CHUNK):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            while self.requests_cut if what == "requests" else self.answers_cut:
                await asyncio.sleep(LOOK_SECONDS)
            writer.write(chunk)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()
