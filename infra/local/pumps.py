"""Event source mappings: messages of a queue come in, the function runs once per message, success deletes it.

One message per receive: moto brings back only the last of several messages of a group (reliability 0.5). Short polls:
moto remembers which groups were busy when a long poll began, and so overlooks those that become free during it. Order
within a group is the queue's own: it gives out nothing more of a group while one of its messages is in flight.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.functions import Functions, Outcome

PAUSE_SECONDS = 0.5
"""Between two questions to a queue of which nothing is heard: a message that nobody was done with becomes visible again
by itself, and a word may get lost."""

PAUSE_AFTER_ERROR_SECONDS = 0.2


@dataclass(slots=True)
class Faults:
    """What a test may ask of the pumps: deliver twice this often, or late by up to so many seconds."""

    duplicate_share: float = 0.0
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """A queue and the function that its messages start."""

    function: str
    queue_url: str
    queue_arn: str
    region: str
    concurrency: int


class Pump:
    """One event source mapping."""

    def __init__(
        self, source: Source, sqs: Callable[[], Any], functions: Functions, faults: Faults, wake: asyncio.Event
    ) -> None:
        """`wake` is set when the queue may have something to give out."""
        self._wake = wake
        self._source = source
        self._sqs = sqs()
        self._functions = functions
        self._faults = faults
        self._slots = asyncio.Semaphore(source.concurrency)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Receive and deliver until cancelled."""
        while True:
            await self._slots.acquire()
            self._wake.clear()
            try:
                message = await self._receive()
            except BaseException:
                self._slots.release()
                raise
            if message is None:
                self._slots.release()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), PAUSE_SECONDS)
                continue
            task = asyncio.create_task(self._deliver(message))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._slots.release()

    async def _receive(self) -> dict[str, Any] | None:
        try:
            answer = await asyncio.to_thread(
                self._sqs.receive_message,
                QueueUrl=self._source.queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=0,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (ClientError, BotoCoreError):
            await asyncio.sleep(PAUSE_AFTER_ERROR_SECONDS)
            return None
        messages = answer.get("Messages", [])
        return messages[0] if messages else None

    async def _deliver(self, message: dict[str, Any]) -> None:
        """Run the function; a message that it did not fail on is deleted, any other comes again by itself."""
        if self._faults.delay_seconds:
            await asyncio.sleep(random.uniform(0, self._faults.delay_seconds))  # noqa: S311 - a test's disorder
        event = {"Records": [record_of(message, self._source)]}
        outcome = await self._functions.invoke(self._source.function, event)
        if random.random() < self._faults.duplicate_share:  # noqa: S311 - a test's disorder
            outcome = await self._functions.invoke(self._source.function, event)
        if succeeded(outcome, message["MessageId"]):
            with suppress(ClientError, BotoCoreError):
                await asyncio.to_thread(
                    self._sqs.delete_message,
                    QueueUrl=self._source.queue_url,
                    ReceiptHandle=message["ReceiptHandle"],
                )


def succeeded(outcome: Outcome, message_id: str) -> bool:
    """Whether the message is done with: no error, and not among the failures a handler may name."""
    if not outcome.ok:
        return False
    failures = outcome.result.get("batchItemFailures", []) if isinstance(outcome.result, dict) else []
    return message_id not in [each.get("itemIdentifier") for each in failures]


def record_of(message: dict[str, Any], source: Source) -> dict[str, Any]:
    """The record as Lambda gives it to a function."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "dataType": value["DataType"],
                "stringListValues": [],
                "binaryListValues": [],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": source.queue_arn,
        "awsRegion": source.region,
    }
