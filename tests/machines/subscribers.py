"""Subscribers as the contract wants them: pushed frames come in, each container's frames without a gap go out."""

import json
from collections.abc import Callable
from typing import Any

from chalicelib.domain.container import Frame
from chalicelib.domain.errors import ConnectionGone, ConnectionStuck
from chalicelib.domain.items import frame_body

LogOf = Callable[[str], list[Frame]]
"""The event log of a container, as committed."""


class Subscriber:
    """Drops what it has, and asks for what a gap says it lacks, as `GET …/events?after=` gives it."""

    def __init__(self, user_id: str, log_of: LogOf) -> None:
        self.user_id = user_id
        self.last: dict[str, int] = {}
        self.heard: dict[str, list[dict[str, Any]]] = {}
        self.stuck = False
        self._log_of = log_of
        self._listed = False

    def take(self, frame: dict[str, Any]) -> None:
        """One pushed frame."""
        if frame["type"] == "list":
            self._listed = True
            for item in frame["container"]["containers"]:
                assert item["user_id"] == self.user_id
                self.last[item["id"]] = item["last_seq"]
            return
        assert self._listed, "the list is strictly the first frame"
        container_id, seq = frame["container"]["id"], frame["seq"]
        committed = [frame_body(each) for each in self._log_of(container_id)]
        assert frame in committed, "nothing is pushed that was not committed first (I10)"
        if seq > self.last.get(container_id, 0) + 1:
            self.catch_up(container_id)
        elif seq == self.last.get(container_id, 0) + 1:
            self._keep(container_id, frame)

    def catch_up(self, container_id: str) -> None:
        """Everything after the last frame it has."""
        for frame in self._log_of(container_id):
            if frame.seq > self.last.get(container_id, 0):
                self._keep(container_id, frame_body(frame))

    def _keep(self, container_id: str, frame: dict[str, Any]) -> None:
        assert frame["seq"] == self.last.get(container_id, 0) + 1, "no gap is left, nothing comes twice (I9)"
        self.last[container_id] = frame["seq"]
        self.heard.setdefault(container_id, []).append(frame)


class Audience:
    """`Sockets` that lead to subscribers; one that is not here is gone."""

    def __init__(self) -> None:
        self.here: dict[str, Subscriber] = {}

    def send(self, connection_id: str, text: str) -> None:
        if connection_id not in self.here:
            raise ConnectionGone(connection_id)
        if self.here[connection_id].stuck:
            raise ConnectionStuck(connection_id)
        self.here[connection_id].take(json.loads(text))

    def close(self, connection_id: str) -> None:
        self.here.pop(connection_id, None)
