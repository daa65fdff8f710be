"""A command's input and output as the engine streams them: an upgraded connection comes in, pieces of output go out.

Before each piece the engine says in eight bytes which output it is of and how long it is. The connection is read only
as fast as pieces are taken, so a program that prints without end waits for its reader.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from infra.hostagent.ports import Take

LOOK_SECONDS = 0.1
CHUNK = 64 * 1024
_HEADER = 8


def follow(stream: Any, take: Take, over: Callable[[], bool], given: bytes | None = None) -> bool:
    """Of what the SDK's `exec_start` gives: true when the output has ended, false when `over` said so first."""
    connection: socket.socket = stream._sock
    pieces = _Pieces(take)
    pieces.feed(read_ahead(stream))
    giving = _Giving(connection, given)
    poller = select.poll()
    while not over():
        poller.register(connection, select.POLLIN | (0 if giving.done else select.POLLOUT))
        for _, events in poller.poll(LOOK_SECONDS * 1000):
            if events & select.POLLOUT:
                giving.go_on()
            if events & ~select.POLLOUT:
                chunk = connection.recv(CHUNK)
                if not chunk:
                    return True
                pieces.feed(chunk)
    return False


def chunks(stream: Any, ends: float) -> Iterator[bytes]:
    """The same of a command on a terminal, where nothing is framed; TimeoutError when it is not over by then.

    `ends` by the monotonic clock.
    """
    chunk = read_ahead(stream)
    while True:
        if chunk:
            yield chunk
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        stream._sock.settimeout(left)
        chunk = stream._sock.recv(CHUNK)
        if not chunk:
            return


def hang_up(stream: Any) -> None:
    """Tell the engine that nobody reads on. Closing alone does not: others in the SDK hold the socket until collected.

    An engine waits for output that nobody takes, and tells of no other command's end in that container meanwhile.
    """
    with contextlib.suppress(OSError):
        stream._sock.shutdown(socket.SHUT_RDWR)
    stream.close()


def read_ahead(stream: Any) -> bytes:
    """What came with the head of the engine's answer: the SDK hands over the socket and forgets that it has read on.

    From then on the connection does not block.
    """
    stream._sock.setblocking(False)
    reader = stream._response.raw._fp.fp
    return bytes(reader.read(len(reader.peek())))


class _Giving:
    """What a command is to read, as fast as it reads; then it is told that this was all."""

    def __init__(self, connection: socket.socket, given: bytes | None) -> None:
        self._connection = connection
        self._left = memoryview(given or b"")
        self.done = given is None

    def go_on(self) -> None:
        """Of a connection that takes more; a command that has ended or closed its input reads no more."""
        try:
            if self._left:
                self._left = self._left[self._connection.send(self._left[:CHUNK]) :]
            if not self._left:
                self._connection.shutdown(socket.SHUT_WR)
                self.done = True
        except OSError:
            self.done = True


class _Pieces:
    """Cuts what comes at the engine's headers, wherever the chunks happen to end."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._header = b""
        self._left = 0

    def feed(self, chunk: bytes) -> None:
        while chunk:
            if self._left == 0:
                chunk = self._open(chunk)
                continue
            piece, chunk = chunk[: self._left], chunk[self._left :]
            self._left -= len(piece)
            self._take(self._header[0], piece)
            if self._left == 0:
                self._header = b""

    def _open(self, chunk: bytes) -> bytes:
        """Take what belongs to the next header; the rest of the chunk."""
        wanted = _HEADER - len(self._header)
        self._header += chunk[:wanted]
        if len(self._header) == _HEADER:
            self._left = int.from_bytes(self._header[4:], "big")
            if self._left == 0:
                self._header = b""
        return chunk[wanted:]
