"""Pushing to subscribers: a user and frames come in, each of the user's connections gets them in order."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.domain.connection import Connection
from chalicelib.domain.container import Frame
from chalicelib.domain.errors import ConnectionGone, ConnectionStuck
from chalicelib.domain.items import frame_body
from chalicelib.ports import Clock, ConnectionStore, Metrics, Sockets
from chalicelib.services.abreast import abreast
from chalicelib.services.unmeasured import UNMEASURED

log = logging.getLogger("berth.fanout")

PARALLEL = 16
"""Connections written to at a time."""


Spread = Callable[[Callable[[Connection], None], Sequence[Connection]], None]
"""Does something for each of several connections, none waiting for another; back when all are done."""


def in_threads(work: Callable[[Connection], None], connections: Sequence[Connection]) -> None:
    """`Spread` over threads of this process."""
    abreast(PARALLEL, work, connections)


@dataclass(frozen=True, slots=True)
class FanOut:
    """Write committed frames to a user's connections; one that is closed or slow costs the others nothing."""

    connections: ConnectionStore
    sockets: Sockets
    clock: Clock
    spread: Spread = in_threads
    metrics: Metrics = UNMEASURED

    def announce(self, user_id: str, frames: Sequence[Frame]) -> None:
        """Push the frames, in order, to every connection of the user whose list is out."""
        texts = [json.dumps(frame_body(frame), separators=(",", ":")) for frame in frames]
        listed = [each for each in self.connections.of_user(user_id, self.clock.now()) if each.listed]
        if len(listed) <= 1:
            for connection in listed:
                self.push(connection, texts)
            return
        self.spread(lambda connection: self.push(connection, texts), listed)

    def push(self, connection: Connection, texts: Sequence[str]) -> None:
        """Push to one connection; what it misses it finds by the gap in `seq`."""
        for text in texts:
            try:
                self.sockets.send(connection.id, text)
                self.metrics.count("Pushes", outcome="sent")
            except ConnectionGone:
                self.metrics.count("Pushes", outcome="gone")
                self.connections.forget(connection)
                return
            except ConnectionStuck:
                self.metrics.count("Pushes", outcome="stuck")
                log.warning("push given up", extra={"connection": connection.id, "user": connection.user_id})
                return
