"""Fan-out: many connections of one user come in, how long a frame takes to the first and the last of them goes out."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.bench.lives import client
from tests.bench.measures import Measure
from tests.bench.stack import Stack

SUBSCRIBERS = (1, 100, 1000)
OPENING_AT_ONCE = 8


def measure(stack: Stack, rounds: int, tick: Callable[[], None]) -> list[Measure]:
    """From the PATCH that renames a container to the frame that says so, at the first, middle and last subscriber."""
    found = []
    for count in SUBSCRIBERS:
        samples = _played(stack, count, rounds, tick)
        for name, place in (("first", 0), ("middle", count // 2), ("last", count - 1))[:: 1 if count > 1 else 3]:
            found.append(
                Measure(
                    f"{count:,} subscriber{'s' if count > 1 else ''}: {name}",
                    "s",
                    [sorted(each)[place] for each in samples],
                )
            )
    return found


def _played(stack: Stack, count: int, rounds: int, tick: Callable[[], None]) -> list[list[float]]:
    """For each round the seconds to every subscriber."""
    with client(stack) as user:
        token = user.http.headers["Authorization"].removeprefix("Bearer ")
        life = user.begin()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        crowd = context.Process(target=_crowd, args=(stack.socket_url, token, count, theirs))
        crowd.start()
        ours.recv()
        samples = []
        for number in range(rounds):
            name = f"name-{count}-{number}"
            ours.send(name)
            ours.recv()
            began = time.time()
            user.http.patch(f"/containers/{life.id}/settings", json={"name": name}).raise_for_status()
            samples.append([at - began for at in ours.recv()])
            tick()
        ours.send(None)
        crowd.join(60)
        user.end(life)
    return samples


def _crowd(url: str, token: str, count: int, pipe: Connection) -> None:
    asyncio.run(_subscribe(url, token, count, pipe))


async def _subscribe(url: str, token: str, count: int, pipe: Connection) -> None:
    """Open all connections, then for every name say when each heard of it."""
    places = asyncio.Semaphore(OPENING_AT_ONCE)

    async def opened() -> ClientConnection:
        async with places:
            socket = await _connected(url, {"Authorization": f"Bearer {token}"})
            await socket.recv()
            return socket

    sockets = await asyncio.gather(*(opened() for _ in range(count)))
    pipe.send("open")
    loop = asyncio.get_running_loop()
    while (name := await loop.run_in_executor(None, pipe.recv)) is not None:
        waiting = [asyncio.create_task(_heard(socket, name)) for socket in sockets]
        await asyncio.sleep(0)
        pipe.send("listening")
        pipe.send(await asyncio.gather(*waiting))
    await asyncio.gather(*(socket.close() for socket in sockets))


async def _connected(url: str, headers: dict[str, str]) -> ClientConnection:
    """As a client does: what is busy is asked again."""
    for pause in (0.5, 1, 2, 4, 8):
        try:
            return await connect(url, additional_headers=headers, proxy=None, ping_interval=None, open_timeout=60)
        except InvalidStatus:
            await asyncio.sleep(pause)
    raise TimeoutError("a connection is not opened")


async def _heard(socket: ClientConnection, name: str) -> float:
    """When the frame with the new name came, seconds since the epoch."""
    while True:
        text = await socket.recv()
        at = time.time()
        body: Any = json.loads(text)["container"]
        if body.get("name") == name:
            return at
