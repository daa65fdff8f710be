"""Subscribers on real sockets that drop, come back and catch up: a client comes in, what they held wrongly goes out."""

import contextlib
import json
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from infra.local.berth import Berth
from tests.chaos.clients import Client

LOOK_SECONDS = 0.5


@dataclass
class Follower:
    """One connection at a time, in a thread of its own."""

    berth: Berth
    client: Client
    held: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    heard: int = 0
    drops: int = 0
    differing: int = 0
    """Frames heard twice under one number with other words."""
    over: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> threading.Thread:
        thread = threading.Thread(target=self._follow)
        thread.start()
        return thread

    def _follow(self) -> None:
        headers = {"Authorization": str(self.client.http.headers["Authorization"])}
        while not self.over.is_set():
            with contextlib.suppress(WebSocketException, OSError):
                with connect(self.berth.socket_url, proxy=None, additional_headers=headers) as socket:
                    self._listen(socket)
            self.drops += 1
            self.over.wait(random.uniform(0, 3))

    def _listen(self, socket: Any) -> None:
        for _ in range(random.randint(6, 40)):
            with contextlib.suppress(TimeoutError):
                self._take(json.loads(socket.recv(timeout=LOOK_SECONDS)))
            if self.over.is_set():
                return

    def _take(self, frame: dict[str, Any]) -> None:
        if "seq" not in frame:
            return
        self.heard += 1
        mine = self.held.setdefault(frame["container"]["id"], {})
        self.differing += mine.setdefault(frame["seq"], frame) != frame

    def errors(self) -> int:
        """After catching up: logs that it does not hold whole and in order, and frames told in two ways."""
        wrong = self.differing
        for container_id, held in self.held.items():
            log = self.client.http.get(f"/containers/{container_id}/events").json()
            frames = {frame["seq"]: frame for frame in log["events"]}
            first = next(number for number in range(len(held) + 1) if number + 1 not in held)
            later = self.client.http.get(f"/containers/{container_id}/events?after={first}").json()
            caught_up = {frame["seq"]: frame for frame in later["events"]} | held
            wrong += caught_up != frames or sorted(frames) != list(range(1, log["last_seq"] + 1))
        return wrong
