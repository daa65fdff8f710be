"""A wire carries everything, holds back what is cut until it is mended, and loses nothing of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from infra.local.wires import Wire


def run(story: Callable[[Wire, list[bytes]], Awaitable[None]]) -> None:
    """Play it with a wire to a server that keeps what it hears and answers with it."""

    async def played() -> None:
        async with echo() as (port, heard):
            wire = Wire(port)
            await wire.start()
            try:
                await asyncio.wait_for(story(wire, heard), 20)
            finally:
                await wire.stop()

    asyncio.run(played())


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1000):
            heard.append(chunk)
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def said(wire: Wire, text: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(text)
    return reader, writer


async def silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), 0.4)
    except TimeoutError:
        return True
    return False


def test_everything_passes_in_both_directions() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        reader, writer = await said(wire, b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.write_eof()
        assert await reader.read() == b""
        assert heard == [b"hello"]

    run(story)


def test_a_request_that_is_cut_arrives_late_and_once() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        wire.cut(answers=False)
        reader, _ = await said(wire, b"late")
        assert await silent(reader)
        assert heard == []
        wire.mend()
        assert await reader.readexactly(4) == b"late"
        assert heard == [b"late"]

    run(story)


def test_an_answer_that_is_cut_leaves_the_caller_in_doubt_of_what_was_done() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        wire.cut(requests=False)
        reader, _ = await said(wire, b"done")
        assert await silent(reader)
        assert heard == [b"done"]
        wire.mend()
        assert await reader.readexactly(4) == b"done"

    run(story)


def test_a_request_of_a_caller_that_gave_up_still_arrives() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        wire.cut()
        reader, writer = await said(wire, b"gone")
        assert await silent(reader)
        writer.close()
        wire.mend()
        while heard != [b"gone"]:
            await asyncio.sleep(0.02)

    run(story)


def test_a_delay_makes_everything_late() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        wire.delay_seconds = 0.3
        began = time.monotonic()
        reader, _ = await said(wire, b"slow")
        assert await reader.readexactly(4) == b"slow"
        assert time.monotonic() - began >= 0.6

    run(story)


def test_what_nobody_listens_to_is_closed() -> None:
    async def story(wire: Wire, heard: list[bytes]) -> None:
        async with echo() as (port, _):
            pass
        nowhere = Wire(port)
        await nowhere.start()
        reader, _ = await said(nowhere, b"anybody?")
        assert await reader.read() == b""
        await nowhere.stop()

    run(story)
