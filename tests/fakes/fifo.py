"""An SQS FIFO queue in memory over any clock, as AWS keeps it: bodies come in, messages in order per group go out.

Faithful where moto is not (reliability App. B): what times out comes back from the oldest, a deduplication id is
remembered for five minutes even when its message is gone, per group where the queue says so, and a receipt that is
no longer good deletes nothing. `tests/contract/test_fifo.py` asks the same of moto's SQS and lists the differences.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

DEDUPLICATION_SECONDS = 300.0


class ReceiptRefused(Exception):
    """The receipt is not of a message that is in flight by it."""


@dataclass(slots=True)
class Message:
    """One message as the queue keeps it; `receipt` and `hidden_until` are of its last delivery."""

    id: str
    body: str
    group: str
    identity: str
    sent_at: float
    received: int = 0
    receipt: str = ""
    hidden_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as a receiver gets it; `count` is 1 the first time."""

    message_id: str
    body: str
    group: str
    receipt: str
    count: int


@dataclass
class FifoQueue:
    """`now` gives seconds; `dead_letters` gets what was received `max_receives` times and not deleted."""

    now: Callable[[], float]
    visibility: float = 30.0
    dead_letters: "FifoQueue | None" = None
    max_receives: int = 10
    dedup_per_group: bool = True
    groups: dict[str, list[Message]] = field(default_factory=dict)
    """Messages by group, oldest first; a group without messages is not kept."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _known: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    def send(self, body: str, group: str, identity: str) -> str:
        """The message's id; a repeat within five minutes is accepted, has the id of the first, and is not delivered."""
        key = (group if self.dedup_per_group else "", identity)
        known = self._known.get(key)
        if known is not None and self.now() - known[0] < DEDUPLICATION_SECONDS:
            return known[1]
        message = Message(f"m{next(self._ids)}", body, group, identity, self.now())
        self._known[key] = (self.now(), message.id)
        self._put(message)
        return message.id

    def _put(self, message: Message) -> None:
        self.groups.setdefault(message.group, []).append(message)

    def receive(self, limit: int = 1, group: str | None = None) -> list[Delivery]:
        """The oldest messages of groups that have none in flight (of one group, where a test wants it so)."""
        deliveries: list[Delivery] = []
        for name in self.ready() if group is None else [group]:
            deliveries += self._from_group(name, limit - len(deliveries))
            if len(deliveries) == limit:
                break
        return deliveries

    def ready(self) -> list[str]:
        """Groups that have a message to give now, by the age of it."""
        free = [name for name in self.groups if not self._blocked(name)]
        return sorted(free, key=lambda name: (self.groups[name][0].sent_at, int(self.groups[name][0].id[1:])))

    def _blocked(self, group: str) -> bool:
        return any(message.hidden_until > self.now() for message in self.groups.get(group, []))

    def _from_group(self, group: str, limit: int) -> list[Delivery]:
        if self._blocked(group):
            return []
        given = []
        for message in list(self.groups.get(group, [])):
            if len(given) == limit:
                break
            if self.dead_letters is not None and message.received >= self.max_receives:
                self._drop(message)
                self.dead_letters._bury(message)
            else:
                given.append(self._deliver(message))
        return given

    def _deliver(self, message: Message) -> Delivery:
        message.received += 1
        message.receipt = f"{message.id}:{message.received}"
        message.hidden_until = self.now() + self.visibility
        return Delivery(message.id, message.body, message.group, message.receipt, message.received)

    def _bury(self, message: Message) -> None:
        self._put(Message(message.id, message.body, message.group, message.identity, self.now()))

    def delete(self, receipt: str) -> None:
        """Done with the message in flight by this receipt; ReceiptRefused when its time is over."""
        self._drop(self._in_flight(receipt))

    def change_visibility(self, receipt: str, seconds: float) -> None:
        """The message comes again so many seconds from now; ReceiptRefused when its time is over."""
        self._in_flight(receipt).hidden_until = self.now() + seconds

    def _in_flight(self, receipt: str) -> Message:
        for messages in self.groups.values():
            for message in messages:
                if message.receipt == receipt and message.hidden_until > self.now():
                    return message
        raise ReceiptRefused(receipt)

    def _drop(self, message: Message) -> None:
        self.groups[message.group].remove(message)
        if not self.groups[message.group]:
            del self.groups[message.group]

    def redrive(self, source: "FifoQueue") -> int:
        """Move everything here back to the queue it came from, as if new; the number of messages moved."""
        moved = self.waiting()
        for message in moved:
            self._drop(message)
            source._bury(message)
        return len(moved)

    def waiting(self) -> list[Message]:
        """Everything that is not deleted, in flight or not, oldest first."""
        messages = [message for each in self.groups.values() for message in each]
        return sorted(messages, key=lambda message: (message.sent_at, int(message.id[1:])))

    def next_change(self) -> float | None:
        """The next instant at which a message in flight comes back by itself; None when there is none."""
        hidden = [m.hidden_until for each in self.groups.values() for m in each if m.hidden_until > self.now()]
        return min(hidden, default=None)
