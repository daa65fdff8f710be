"""A terminal in a container from this terminal: an API, a container and a token come in, the shell's output goes out.

Ctrl-] leaves; the shell is kept for a minute, and coming back goes on with it. A connection that breaks is made anew,
and nothing of what was printed meanwhile is lost.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from infra.local.errors import NotReady

LEAVE = b"\x1d"
"""Ctrl-], as in telnet."""
CHUNK = 16 * 1024
OPEN_SECONDS, ANSWER_SECONDS, WAIT_SECONDS = 15.0, 10.0, 25
TRIES, PAUSE_SECONDS = 5, 1.0
"""How often a broken connection is made anew before it is given up."""
_ENDED = (1000, 1005)


@dataclass(frozen=True, slots=True)
class Place:
    """Which terminal, and who asks."""

    api: str
    container: str
    """Its id or name."""
    token: str
    user: str = ""


async def run(place: Place) -> int:
    """Until the shell ends or its user leaves; NotReady when it cannot be had. 0, or 1 when the connection was lost."""
    desk = Desk(place)
    container_id = await asyncio.to_thread(desk.running)
    keys: asyncio.Queue[bytes] = asyncio.Queue()
    with _raw(sys.stdin.fileno()), _read(keys):
        for _ in range(TRIES):
            code, said = await _visit(await asyncio.to_thread(desk.door, container_id), keys)
            if code in _ENDED:
                break
            await asyncio.sleep(PAUSE_SECONDS)
    sys.stdout.write(f"[{said}]\n")
    return 0 if code in _ENDED else 1


@dataclass(frozen=True, slots=True)
class Desk:
    """What is asked of the API."""

    place: Place

    def running(self) -> str:
        """Its id once it runs."""
        container_id = self._id()
        item = self._ask("GET", f"{container_id}?wait=running&timeout={WAIT_SECONDS}", WAIT_SECONDS + ANSWER_SECONDS)
        return str(item["id"])

    def door(self, container_id: str) -> str:
        """Where its terminal is, this once."""
        columns, rows = _size()
        body = {"user": self.place.user} if self.place.user else {}
        url = self._ask("POST", f"{container_id}/terminal", json=body)["url"]
        return f"{url}&raw=1&cols={columns}&rows={rows}"

    def _id(self) -> str:
        """By name among the user's own, or as it stands."""
        listed = self._ask("GET", "")["containers"]
        named = [str(each["id"]) for each in listed if each["name"] == self.place.container]
        return named[0] if named else quote(self.place.container, safe="")

    def _ask(self, method: str, path: str, seconds: float = ANSWER_SECONDS, **more: Any) -> Any:
        url = f"{self.place.api.rstrip('/')}/containers" + (f"/{path}" if path else "")
        headers = {"Authorization": f"Bearer {self.place.token}"}
        try:
            answer = httpx.request(method, url, headers=headers, timeout=seconds, trust_env=False, **more)
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NotReady(f"no Berth answers at {self.place.api}: {type(error).__name__}") from error
        if answer.is_error:
            raise NotReady(f"{self.place.container}: {told.get('error')} ({answer.status_code})")
        return told


async def _visit(url: str, keys: "asyncio.Queue[bytes]") -> tuple[int, str]:
    """One connection to its end: with which code, and what is to be said of it."""
    try:
        async with connect(url, proxy=None, open_timeout=OPEN_SECONDS) as socket:
            with _told_of_sizes(socket):
                typing, showing = asyncio.create_task(_type(socket, keys)), asyncio.create_task(_show(socket))
                await asyncio.wait({typing, showing}, return_when=asyncio.FIRST_COMPLETED)
                left = typing.done()
                typing.cancel()
                await socket.close()
                await showing
            return (1000, "left: come back within a minute to go on") if left else _ended(socket)
    except (InvalidHandshake, OSError) as error:
        return 1006, f"the relay does not let in: {type(error).__name__}"


def _ended(socket: ClientConnection) -> tuple[int, str]:
    return socket.close_code or 1006, socket.close_reason or "the connection was lost"


async def _show(socket: ClientConnection) -> None:
    """What is printed inside, as it comes."""
    with contextlib.suppress(ConnectionClosed):
        async for frame in socket:
            sys.stdout.write(frame if isinstance(frame, str) else frame.decode(errors="replace"))
            sys.stdout.flush()


async def _type(socket: ClientConnection, keys: "asyncio.Queue[bytes]") -> None:
    """What is typed here, until the key that leaves or the end of input; never done when the connection ends first."""
    while (piece := await keys.get()) and LEAVE not in piece:
        try:
            await socket.send(_typed(piece))
        except ConnectionClosed:
            await asyncio.Event().wait()


def _typed(piece: bytes) -> str | bytes:
    """As a frame, so that nothing pasted is taken for one; what is no text goes as it is."""
    try:
        return json.dumps({"type": "input", "data": piece.decode()})
    except UnicodeDecodeError:
        return piece


@contextlib.contextmanager
def _read(keys: "asyncio.Queue[bytes]") -> Iterator[None]:
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()
    loop.add_reader(stdin, lambda: keys.put_nowait(os.read(stdin, CHUNK)))
    try:
        yield
    finally:
        loop.remove_reader(stdin)


@contextlib.contextmanager
def _told_of_sizes(socket: ClientConnection) -> Iterator[None]:
    """The terminal inside is as large as this one, whenever this one changes."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    def changed() -> None:
        task = asyncio.create_task(_resize(socket))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


async def _resize(socket: ClientConnection) -> None:
    columns, rows = _size()
    with contextlib.suppress(ConnectionClosed):
        await socket.send(json.dumps({"type": "resize", "cols": columns, "rows": rows}))


def _size() -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return 80, 24
    return columns, rows


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key goes inside as it is; afterwards this terminal is as it was."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)  # what is typed already is not thrown away
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        sys.stdout.write("\n")
