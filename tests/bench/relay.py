"""Between an agent and its engine: bytes go through both ways, and when each call was made is noted."""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 256 * 1024
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE|HEAD) (\S+) HTTP/1\.1\r\n")


@dataclass(slots=True)
class Relay:
    """A socket in front of another one."""

    path: Path
    engine: str
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    """Seconds since the epoch, method and path with its query."""
    _server: "asyncio.Server | None" = None
    _tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_unix_connection(self.engine.removeprefix("unix://"))
        ways = [self._carry(reader, upstream[1], note=True), self._carry(upstream[0], writer, note=False)]
        for way in ways:
            task = asyncio.ensure_future(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, note: bool) -> None:
        with suppress(OSError):
            while chunk := await source.read(CHUNK):
                if note and (request := _REQUEST.match(chunk)):
                    self.calls.append((time.time(), request[1].decode(), request[2].decode()))
                sink.write(chunk)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()


def first_for(calls: Sequence[tuple[float, str, str]], container_id: str, since: float) -> float | None:
    """When the engine was first called for that container: about its image, or by its name."""
    for at, method, path in calls:
        image = method == "GET" and re.search(r"/images/.+/json$", path) is not None
        if at >= since and (image or container_id in path):
            return at
    return None
