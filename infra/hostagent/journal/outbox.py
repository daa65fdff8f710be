"""Events on their way: the journal's outbox comes in, signed messages go to the queue in order, until it takes them."""

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from chalicelib.contract.events import LARGEST_BATCH, AboutContainer, Batch, Event, parse_event
from chalicelib.contract.signatures import seal, seal_text
from infra.hostagent.journal.intents import Outgoing
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.pace import Pace

log = logging.getLogger("berth.agent.outbox")

PAGE = 200
IDLE_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0

Wait = Callable[[Sequence[AboutContainer]], float]
"""How many seconds these events of one container wait for more of it; 0 = not at all."""


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
        self._pace = Pace(time.monotonic)
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
        pause, idle = FIRST_PAUSE_SECONDS, IDLE_SECONDS
        while not self._closed.is_set():
            self._wake.wait(idle)
            self._wake.clear()
            seconds = self._sent_due()
            if seconds is None:
                self._closed.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                self._wake.set()
            else:
                pause, idle = FIRST_PAUSE_SECONDS, seconds

    def _sent_due(self) -> float | None:
        """As `_sent`, at the pace; None whatever broke: without this thread the control plane would hear no more."""
        try:
            return self._sent(self._pace.wait)
        except Exception:
            if not self._closed.is_set():
                log.exception("sending broke and begins again")
            return None

    def send_waiting(self) -> bool:
        """Send all that waits, once, until the queue refuses; true when nothing is left to send."""
        return self._sent(lambda _events: 0.0) is not None

    def _sent(self, wait: Wait) -> float | None:
        """Send what need not wait; seconds until more goes, None when the queue refused."""
        while not self._closed.is_set():
            waiting = [(wait(events) if events else 0.0, batch, events) for batch, events in self._waiting()]
            due = [(batch, events) for seconds, batch, events in waiting if not seconds]
            if not due:
                return min([IDLE_SECONDS, *(seconds for seconds, _, _ in waiting)])
            if not all(self._send(batch, events) for batch, events in due):
                return None
        return IDLE_SECONDS

    def _waiting(self) -> list[tuple[list[Outgoing], list[AboutContainer]]]:
        """What waits, the events of each container together; without any, the one that this agent cannot read."""
        batches: dict[str, list[Outgoing]] = {}
        for outgoing in self._journal.outgoing(PAGE):
            batch = batches.setdefault(outgoing.container_id, [])
            if len(batch) < LARGEST_BATCH:
                batch.append(outgoing)
        return [_first_message(batch) for batch in batches.values()]

    def _send(self, batch: Sequence[Outgoing], events: Sequence[AboutContainer]) -> bool:
        container_id, identity = batch[0].container_id, _identity(batch)
        try:
            self._sink.send(self._sealed(batch, events), container_id, identity)
        except QueueUnavailable as error:
            log.warning("events wait", extra={"container": container_id, "event": identity, "reason": str(error)})
            return False
        self._journal.sent(batch)
        self._pace.gone(container_id)
        return True

    def _sealed(self, batch: Sequence[Outgoing], events: Sequence[AboutContainer]) -> str:
        if not events:
            log.error("event cannot be read and is sent as it is", extra={"event": batch[0].identity})
            return seal_text(batch[0].event, self._host_id, self._private_key)
        event = events[0] if len(events) == 1 else Batch(events=list(events), trace=events[-1].trace)
        return seal(event, self._host_id, self._private_key)


def _first_message(batch: list[Outgoing]) -> tuple[list[Outgoing], list[AboutContainer]]:
    """The events that go first and together.

    One that cannot be read goes alone, as it is: a newer agent left it, and the functions may know it.
    """
    events = list(itertools.takewhile(lambda event: event is not None, map(_event, batch)))
    return batch[: len(events) or 1], events  # type: ignore[return-value]  # only such are in the journal


def _event(outgoing: Outgoing) -> Event | None:
    try:
        return parse_event(outgoing.event)
    except ValidationError:
        return None


def _identity(batch: Sequence[Outgoing]) -> str:
    """The same whenever the same events are sent together, and no other's."""
    if len(batch) == 1:
        return batch[0].identity
    digest = hashlib.sha256(" ".join(each.identity for each in batch).encode()).hexdigest()[:16]
    return f"{digest}:{len(batch)}:{batch[-1].identity}"
