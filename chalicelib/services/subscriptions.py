"""WebSocket subscribers: connections and their frames come in, lists, answers and refusals go out.

What only a list or a new connection needs is imported for it: most invocations close a connection or answer a ping.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.contract.moments import rfc3339
from chalicelib.domain.connection import LIFETIME, Connection
from chalicelib.domain.errors import ConnectionGone, ConnectionStuck, NotFound, RateLimited, RetryLater
from chalicelib.domain.items import frame_body, listing

if TYPE_CHECKING:
    from chalicelib.domain.container import Container
    from chalicelib.domain.identity import Caller
    from chalicelib.ports import Clock, ConnectionStore, ContainerViews, EventQueue, Sockets
    from chalicelib.services.rates import Limiter

log = logging.getLogger("berth.subscriptions")

STRIKES = 5
"""Bad frames in a row that close a connection."""

OPENING_SECONDS = 10
"""A connection that is younger and seems closed is still being opened."""

OPENING_WAITS = (0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Open, welcome, answer and close connections."""

    connections: ConnectionStore
    containers: ContainerViews
    events: EventQueue
    sockets: Sockets
    clock: Clock
    limit: int
    frames: Limiter

    def open(self, caller: Caller, connection_id: str) -> None:
        """Keep the connection and ask for its list; RateLimited when the user has too many.

        Nothing can be pushed yet: API Gateway opens the connection only after this has returned.
        """
        from chalicelib.contract.events import ListRequested

        now = self.clock.now()
        ends = min(now + LIFETIME, caller.until) if caller.until else now + LIFETIME
        connection = Connection(
            id=connection_id,
            user_id=caller.user_id,
            tier=caller.tier,
            token_hash=caller.token_hash,
            connected_at=now,
            expires_at=ends,
        )
        self.connections.add(connection, self.limit)
        self.events.send(ListRequested(connection_id=connection_id, user_id=caller.user_id))

    def welcome(self, user_id: str, connection_id: str) -> None:
        """Push the list as the first frame, then let the connection have frames, then what fell in between.

        RetryLater while the connection is still being opened, or cannot be written to.
        """
        try:
            connection = self.connections.get(connection_id, self.clock.now())
        except NotFound:
            return
        if connection.user_id != user_id or connection.listed:
            return
        before = self.containers.of_user(user_id)
        try:
            self._send_first(connection, self._list_frame(connection, before))
            self.connections.mark_listed(connection)
            self._send_missed(connection, before)
        except (ConnectionGone, NotFound):
            self.connections.forget(connection)
        except ConnectionStuck:
            log.warning("push given up", extra={"connection": connection.id, "user": user_id})

    def _send_first(self, connection: Connection, text: str) -> None:
        for wait in OPENING_WAITS:
            try:
                self.sockets.send(connection.id, text)
                return
            except ConnectionGone:
                if (self.clock.now() - connection.connected_at).total_seconds() > OPENING_SECONDS:
                    raise
                self.clock.sleep(wait)
            except ConnectionStuck as error:
                raise RetryLater("connection could not be written to", seconds=1) from error
        raise RetryLater("connection is still being opened", seconds=1)

    def _send_missed(self, connection: Connection, before: list[Container]) -> None:
        """Frames committed after the list was read and pushed before the connection could have them."""
        seen = {container.id: container.seq for container in before}
        now = {container.id: container.seq for container in self.containers.of_user(connection.user_id)}
        for container_id in seen | now:
            listed = seen.get(container_id, 0)
            if now.get(container_id) != listed:
                for frame in self.containers.frames_after(container_id, listed):
                    self.sockets.send(connection.id, _text(frame_body(frame)))

    def receive(self, connection_id: str, text: str) -> None:
        """Answer one frame of a subscriber on its own connection."""
        try:
            connection = self.connections.get(connection_id, self.clock.now())
        except NotFound:
            self.sockets.close(connection_id)
            return
        try:
            self._counted(connection, text)
        except ConnectionGone:
            self.connections.forget(connection)

    def _counted(self, connection: Connection, text: str) -> None:
        try:
            self.frames.count(connection.id)
        except RateLimited:
            self._strike(connection, "too many frames a second", RateLimited.code)
            return
        self._answer(connection, _kind(text))

    def _answer(self, connection: Connection, kind: str | None) -> None:
        if kind == "ping":
            self._reply(connection, _text({"type": "pong"}))
        elif kind == "list":
            self._reply(connection, self._list_frame(connection, self.containers.of_user(connection.user_id)))
        else:
            self._strike(connection, 'expected a JSON object with "type": "ping" or "list"', "bad_frame")

    def _reply(self, connection: Connection, text: str) -> None:
        if connection.strikes:
            self.connections.strike(connection, 0)
        self.sockets.send(connection.id, text)

    def _strike(self, connection: Connection, error: str, code: str) -> None:
        """Counted before it is answered, so that a client that waits for answers is counted rightly."""
        strikes = connection.strikes + 1
        self.connections.strike(connection, strikes)
        self.sockets.send(connection.id, _text({"type": "error", "error": error, "code": code}))
        if strikes >= STRIKES:
            log.info("connection closed after bad frames", extra={"connection": connection.id})
            self.connections.forget(connection)
            self.sockets.close(connection.id)

    def close(self, connection_id: str) -> None:
        """The connection is closed: forget it."""
        try:
            self.connections.forget(self.connections.get(connection_id, self.clock.now()))
        except NotFound:
            return

    def _list_frame(self, connection: Connection, containers: list[Container]) -> str:
        from chalicelib.domain import catalogue

        now = self.clock.now()
        limit = catalogue.tiers()[connection.tier].containers
        body = {"type": "list", "container": listing(containers, limit, now), "timestamp": rfc3339(now)}
        return _text(body)


def _kind(text: str) -> str | None:
    """The type of a well-formed frame, or None."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = frame.get("type") if isinstance(frame, dict) else None
    return kind if isinstance(kind, str) else None


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
