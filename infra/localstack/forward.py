"""One door: connections to an address come in, and go on to another.

Run as a script by whatever Python there is: a folder, where to listen, where to go on to. An address is a port of
loopback or the name of a Unix socket in the folder. Those lead through the wall of a container without a network.
"""

import asyncio
import contextlib
import os
import sys
from asyncio import StreamReader, StreamWriter

_AT_ONCE = 65536


async def main(folder: str, listen: str, target: str) -> None:
    """Pass on, for ever."""
    os.chdir(folder)  # names of sockets have at most 107 bytes

    async def passed_on(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            far_reader, far_writer = await _connected(target)
            with contextlib.closing(far_writer):
                await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))

    if listen.isdigit():
        server = await asyncio.start_server(passed_on, "127.0.0.1", int(listen))
    else:
        server = await asyncio.start_unix_server(passed_on, listen)
        os.chmod(listen, 0o666)  # noqa: S103 - users inside and outside differ; the folder's parent keeps others out
    await server.serve_forever()


async def _connected(target: str) -> tuple[StreamReader, StreamWriter]:
    if target.isdigit():
        return await asyncio.open_connection("127.0.0.1", int(target))
    return await asyncio.open_unix_connection(target)


async def _copied(source: StreamReader, sink: StreamWriter) -> None:
    """All of one direction; a direction that breaks takes the other with it."""
    try:
        while data := await source.read(_AT_ONCE):
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.transport.abort()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
