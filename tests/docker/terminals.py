"""A client of an agent's terminals: an agent and a container come in, a socket that types and reads goes out."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.terminals import Grant, sign_ticket
from tests.docker.agents import RunningAgent
from tests.fakes.world import CONTROL_KEY
from tests.pace import SLOWNESS

PATIENCE_SECONDS = 20 * SLOWNESS
_REMEMBERED = 16 * 1024


@dataclass
class Terminal:
    """One socket."""

    socket: ClientConnection
    printed: str = ""
    """The last of what came so far."""
    kinds: list[str] = field(default_factory=list)
    """Of frames that came so far, but for those with numbers."""
    stats: list[dict[str, float]] = field(default_factory=list)
    """What the container used, as told so far."""
    largest: int = 0
    """Bytes of the largest frame."""

    def type(self, text: str) -> None:
        self.socket.send(json.dumps({"type": "input", "data": text}))

    def resize(self, cols: int, rows: int) -> None:
        self.socket.send(json.dumps({"type": "resize", "cols": cols, "rows": rows}))

    def read(self, words: str, seconds: float = PATIENCE_SECONDS) -> str:
        """What is printed from here on, up to these words; of a flood, the last of it."""
        ends, said = time.monotonic() + seconds, ""
        while words not in said:
            try:
                said = said[-_REMEMBERED:] + self._hear(ends - time.monotonic())
            except TimeoutError:
                raise AssertionError(f"{words!r} is not in {said[-500:]!r}") from None
        return said

    def until_printed(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Until anything is, from the beginning."""
        ends = time.monotonic() + seconds
        while not self.printed:
            self._hear(ends - time.monotonic())

    def _hear(self, seconds: float) -> str:
        """What the next frame prints."""
        frame = self.socket.recv(timeout=max(0.0, seconds), decode=True)
        self.largest = max(self.largest, len(frame.encode()))
        message = json.loads(frame)
        if message["type"] == "stats":
            self.stats.append(json.loads(message["data"]))
            return ""
        if len(self.kinds) < _REMEMBERED:
            self.kinds.append(message["type"])
        printed = str(message.get("data", ""))
        self.printed = self.printed[-_REMEMBERED:] + printed
        return printed

    def until_stats(
        self, so: Callable[[dict[str, float]], bool], seconds: float = PATIENCE_SECONDS
    ) -> dict[str, float]:
        """The first numbers from here on of which it is so."""
        ends, heard = time.monotonic() + seconds, len(self.stats)
        while not (found := [each for each in self.stats[heard:] if so(each)]):
            assert time.monotonic() < ends, self.stats[heard:]
            self._hear(ends - time.monotonic())
        return found[0]

    def run(self, command: str) -> str:
        """What a command prints that ends by itself."""
        mark = uuid.uuid4().hex[:8]
        half = f"{mark[:4]}''{mark[4:]}"
        self.type(f"echo {half}; {command}; echo {half}\n")
        said = self.read(f"{mark}\r\n")
        said += "" if said.count(mark) > 1 else self.read(f"{mark}\r\n")
        return said.split(f"{mark}\r\n")[1].replace("\r\n", "\n")

    def closed(self) -> tuple[int, str]:
        """How it is closed, after whatever comes before."""
        try:
            while True:
                self._hear(PATIENCE_SECONDS)
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")


@contextmanager
def terminal(agent: RunningAgent, spec: ContainerSpec, query: str = "", **changes: Any) -> Iterator[Terminal]:
    """A socket with a ticket of the control plane."""
    values = {"host_id": agent.host_id, "endpoint": "http://unused", "container_id": spec.container_id}
    grant = Grant(**(values | {"user_id": spec.user_id, "generation": spec.generation} | changes))
    token = sign_ticket(grant, CONTROL_KEY, uuid.uuid4().hex, int(time.time()))
    address = f"ws://127.0.0.1:{agent.port}/v1/containers/{spec.container_id}/terminal?{query}"
    headers = {"Authorization": f"Bearer {token}"}
    with connect(address, additional_headers=headers, proxy=None, compression=None, ping_interval=None) as socket:
        yield Terminal(socket)
