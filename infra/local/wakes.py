"""Words that a queue has something new: moto's process says a queue's name, whoever waits for that queue goes on.

Without them every queue would have to be asked a hundred times a second, which costs more than the work itself.
"""

import asyncio
import socket
import threading

LOOPBACK = "127.0.0.1"
_LONGEST = 256


class Wakes:
    """The ear of a cloud: one flag per queue, set when the queue may have something to give out."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.setblocking(False)
        self._flags: dict[str, asyncio.Event] = {}

    @property
    def port(self) -> int:
        """Where words are heard."""
        return int(self._socket.getsockname()[1])

    def of(self, queue: str) -> asyncio.Event:
        """The flag of the queue with this name; who waits for it clears it before he looks."""
        return self._flags.setdefault(queue, asyncio.Event())

    async def listen(self) -> None:
        """Hear until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            name = await loop.sock_recv(self._socket, _LONGEST)
            self.of(name.decode(errors="replace")).set()

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()


class Voice:
    """The mouth of moto's process. A word that is lost costs a moment: queues are asked now and then anyway."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = (LOOPBACK, port)

    def say(self, queue: str) -> None:
        """The queue with this name may have something to give out."""
        try:
            self._socket.sendto(queue.encode(), self._to)
        except OSError:
            return

    def say_after(self, seconds: float, queue: str) -> None:
        """The same so many seconds from now."""
        later = threading.Timer(seconds, self.say, [queue])
        later.daemon = True
        later.start()
