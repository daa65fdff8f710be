"""Events on their way: the journal's outbox comes in, signed messages go to the queue in order, until it takes them."""

import logging
import threading
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.contract.events import Event, parse_event
from chalicelib.contract.signatures import seal
from infra.hostagent.intents import Outgoing
from infra.hostagent.journal import Journal

log = logging.getLogger("berth.agent.outbox")

PAGE = 50
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0


class QueueUnavailable(Exception):
    """The queue did not take the message; it may have."""


class EventSink(Protocol):
    """The queue of events."""

    def send(self, body: str, group: str, identity: str) -> None:
        """Deliver at least once, in order per group; QueueUnavailable."""


class SqsSink:
    """`EventSink` on an SQS FIFO queue."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, body: str, group: str, identity: str) -> None:
        try:
            self._client.send_message(
                QueueUrl=self._queue_url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=identity
            )
        except (ClientError, BotoCoreError) as error:
            raise QueueUnavailable(type(error).__name__) from error


class Outbox:
    """Sends what the journal holds; an event leaves the journal only when the queue has it (FM 41)."""

    def __init__(self, journal: Journal, sink: EventSink, host_id: str, private_key: str) -> None:
        self._journal = journal
        self._sink = sink
        self._host_id = host_id
        self._private_key = private_key
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin sending, in a thread of its own; without one, call `send_waiting` now and then."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="outbox")
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def send_now(self, event: Event, group: str, identity: str) -> None:
        """Send one event past the journal: for heartbeats, of which only the newest matters."""
        self._sink.send(seal(event, self._host_id, self._private_key), group, identity)

    def close(self, seconds: float) -> None:
        """Stop after at most this long; what was not sent is sent by the next process."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closed.is_set():
            self._wake.wait(1.0)
            self._wake.clear()
            if self._sent_all():
                pause = FIRST_PAUSE_SECONDS
            else:
                self._closed.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                self._wake.set()

    def _sent_all(self) -> bool:
        """False when something is left, whatever broke: without this thread the control plane would hear no more."""
        try:
            return self.send_waiting()
        except Exception:
            if not self._closed.is_set():
                log.exception("sending broke and begins again")
            return False

    def send_waiting(self) -> bool:
        """Send what waits, once, until the queue refuses; true when nothing is left to send."""
        while not self._closed.is_set():
            waiting = self._journal.outgoing(PAGE)
            if not waiting:
                return True
            for outgoing in waiting:
                if not self._send(outgoing):
                    return False
        return True

    def _send(self, outgoing: Outgoing) -> bool:
        try:
            body = seal(parse_event(outgoing.event), self._host_id, self._private_key)
            self._sink.send(body, outgoing.container_id, outgoing.identity)
        except QueueUnavailable as error:
            ids = {"container": outgoing.container_id, "event": outgoing.identity}
            log.warning("event waits", extra=ids | {"reason": str(error)})
            return False
        self._journal.sent(outgoing)
        return True
