"""Containers through the public API: a client comes in, the moments of each life go out."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from infra.ground.images import BOOKWORM
from tests.bench.raw import CPU_SHARES, ECHO, MEMORY_MB
from tests.bench.stack import Stack

PATIENCE_SECONDS = 120.0
PREPARING_TRIES = 5
DISK_MB = 1024
"""Sixteen containers with so much have room on one host."""


class Broken(Exception):
    """A life did not go as it should: there is nothing to measure."""


@dataclass(slots=True)
class Life:
    """One container: seconds since its POST was sent."""

    id: str
    posted: float
    """Seconds since the epoch."""
    began: float
    """The same by the process's clock."""
    accepted: float = 0.0
    frames: dict[str, float] = field(default_factory=dict)
    """When each stage's frame came, and those of other types."""
    first_output: float = 0.0
    gone: float = 0.0
    """Seconds from DELETE to the frame `deleted`."""

    @property
    def ready(self) -> float:
        return self.frames["ready"]


class Client:
    """A user with one connection, whose frames are noted as they come."""

    def __init__(self, http: httpx.Client, socket: ClientConnection) -> None:
        self.http = http
        self._socket = socket
        self._seen: dict[tuple[str, str], float] = {}
        self._news = threading.Condition()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        try:
            for text in self._socket:
                at = time.perf_counter()
                frame = json.loads(text)
                body = frame["container"]
                what = body["stage"] if frame["type"] == "progress" else frame["type"]
                with self._news:
                    self._seen.setdefault((body.get("id", ""), what), at)
                    self._news.notify_all()
        except ConnectionClosed:
            return

    def wait(self, container_id: str, what: str) -> float:
        """When the frame came, by the process's clock; Broken when the container failed or nothing came."""
        ends = time.monotonic() + PATIENCE_SECONDS
        with self._news:
            while (container_id, what) not in self._seen:
                if (container_id, "error") in self._seen:
                    raise Broken(f"{container_id} ended in error")
                if not self._news.wait(ends - time.monotonic()):
                    raise Broken(f"no frame {what} of {container_id}")
            return self._seen[container_id, what]

    def begin(self) -> Life:
        """A container that is ready."""
        body = {"image": BOOKWORM, "memory_mb": MEMORY_MB, "cpu_shares": CPU_SHARES, "disk_mb": DISK_MB}
        posted, began = time.time(), time.perf_counter()
        answer = self.http.post("/containers", json=body)
        accepted = time.perf_counter() - began
        if answer.status_code != 202:
            raise Broken(answer.text)
        life = Life(answer.json()["id"], posted, began, accepted)
        self.wait(life.id, "ready")
        with self._news:
            life.frames = {what: at - began for (each, what), at in self._seen.items() if each == life.id}
        return life

    def print_something(self, life: Life) -> None:
        """Its first command, as soon as it runs."""
        body = {"command": ECHO, "user": "root"}
        answer = self.http.post(f"/containers/{life.id}/exec", json=body)
        if answer.status_code != 200 or answer.json()["stdout"] != "hello\n":
            raise Broken(answer.text)
        life.first_output = time.perf_counter() - life.began

    def end(self, life: Life) -> None:
        """Deleted, and gone from the engine."""
        began = time.perf_counter()
        answer = self.http.delete(f"/containers/{life.id}")
        if answer.status_code != 200:
            raise Broken(answer.text)
        life.gone = self.wait(life.id, "deleted") - began

    def warm_up(self) -> None:
        """One life that is not measured: functions begin; on a new engine images are prepared, which takes minutes."""
        for _ in range(PREPARING_TRIES):
            try:
                self.end(self.begin())
            except Broken:
                continue
            return
        raise Broken("no container becomes ready")

    def live(self, check: Callable[[Life], None] | None = None) -> Life:
        """One life from beginning to end, looked at once it has printed something."""
        life = self.begin()
        self.print_something(life)
        if check is not None:
            check(life)
        self.end(life)
        return life


@contextmanager
def client(stack: Stack, tier: str = "enterprise") -> Iterator[Client]:
    """A new user of the stack."""
    headers = {"Authorization": f"Bearer {stack.ask('user', tier)}"}
    with (
        httpx.Client(base_url=stack.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as http,
        connect(stack.socket_url, additional_headers=headers, proxy=None) as socket,
    ):
        made = Client(http, socket)
        made.wait("", "list")
        made.warm_up()
        yield made
