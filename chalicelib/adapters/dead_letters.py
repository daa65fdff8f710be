"""Dead letters: the two queues of messages that were given up come in, what they are goes out, and back they may go.

Sending them back is safe at any time: what a message asks for is looked up in the record first, and an old one does
nothing. Only the operator's command reads here; no function does, so that the evidence stays.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from chalicelib.contract.commands import parse_command
from chalicelib.contract.readable import PartOfBatch, read_event
from chalicelib.contract.signatures import BadSignature, parse_envelope

HELD_SECONDS = 30
"""How long a listing hides what it has seen from other readers."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was given up; `receipt` and `body` are for sending it back."""

    id: str
    queue: str
    sent_at: datetime
    reason: str
    what: str
    """Kind and container, or signer, of one that can be read."""
    group: str
    receipt: str
    body: str


class DeadLetterBox:
    """The dead letters of one queue, `commands` or `events`."""

    def __init__(self, client: Any, queue: str, queue_url: str, dead_url: str) -> None:
        self._client = client
        self._queue = queue
        self._queue_url = queue_url
        self._dead_url = dead_url

    def listed(self) -> list[DeadLetter]:
        """All there are, oldest first; they stay where they are."""
        found = list(self._received())
        for letter in found:
            self._client.change_message_visibility(
                QueueUrl=self._dead_url, ReceiptHandle=letter.receipt, VisibilityTimeout=0
            )
        return found

    def redrive(self) -> list[DeadLetter]:
        """Send all back to their queue, in order per group, and take them from here; what was sent."""
        sent = []
        for letter in self._received():
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=letter.body,
                MessageGroupId=letter.group,
                MessageDeduplicationId=f"redriven:{letter.id}",
            )
            self._client.delete_message(QueueUrl=self._dead_url, ReceiptHandle=letter.receipt)
            sent.append(letter)
        return sent

    def _received(self) -> Iterator[DeadLetter]:
        seen: set[str] = set()
        while True:
            answer = self._client.receive_message(
                QueueUrl=self._dead_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=HELD_SECONDS,
                MessageSystemAttributeNames=["All"],
            )
            letters = [self._letter(raw) for raw in answer.get("Messages", []) if raw["MessageId"] not in seen]
            if not letters:
                return
            seen.update(letter.id for letter in letters)
            yield from letters

    def _letter(self, raw: dict[str, Any]) -> DeadLetter:
        attributes = raw["Attributes"]
        reason, what = _read(self._queue, raw["Body"])
        return DeadLetter(
            id=raw["MessageId"],
            queue=self._queue,
            sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
            reason=reason,
            what=what,
            group=attributes["MessageGroupId"],
            receipt=raw["ReceiptHandle"],
            body=raw["Body"],
        )


def _read(queue: str, body: str) -> tuple[str, str]:
    """Why it was given up, as far as it tells, and what it is; never a value that it carries."""
    try:
        if queue == "commands":
            command = parse_command(body)
            return "could not be carried out", f"{command.kind} {command.container_id}"
        envelope = parse_envelope(body)
        event = read_event(envelope.event)
        about = getattr(event, "container_id", "")
        reason = "an event in it cannot be read" if isinstance(event, PartOfBatch) else "could not be recorded"
        return reason, f"{event.kind} {about} by {envelope.signer}".replace("  ", " ")
    except (ValidationError, BadSignature, json.JSONDecodeError):
        return "cannot be read", "-"
