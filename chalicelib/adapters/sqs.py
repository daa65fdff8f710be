"""The two FIFO queues: commands and events come in, messages in order per container go out."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.contract.commands import Command, Create, Power, Rename, Resize, Settle
from chalicelib.contract.events import Abandoned, Heartbeat, Inventory, ListRequested, Progress, Renamed, SingleEvent
from chalicelib.contract.tracing import traced
from chalicelib.domain.errors import Busy

_ALLOWED = re.compile(r"[!-~]{1,128}")
"""What SQS takes as the name of a group or message."""


class SqsCommands:
    """`ports.CommandQueue`."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def send(self, command: Command, attempt: int = 0) -> None:
        identity = f"{command.container_id}:{command.kind}:{_which(command)}:{attempt}"
        _send(self._client, self._queue_url, traced(command).model_dump_json(), command.container_id, identity)


class SqsEvents:
    """`ports.EventQueue`: events of the control plane, signed with its key."""

    def __init__(self, client: Any, queue_url: str, seal: Callable[[SingleEvent], str]) -> None:
        self._client = client
        self._queue_url = queue_url
        self._seal = seal

    def send(self, event: SingleEvent, attempt: int = 0) -> None:
        group = _group(event)
        _send(self._client, self._queue_url, self._seal(traced(event)), group, f"{group}:{_what(event)}:{attempt}")


class SqsRedelivery:
    """When a message that was received, and not done with, comes again."""

    def __init__(self, client: Any, queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def after(self, receipt_handle: str, seconds: int) -> None:
        """Deliver it again this many seconds from now; nothing when the receipt is no longer good."""
        try:
            self._client.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )
        except (ClientError, BotoCoreError):
            return


class SqsDeadLetters:
    """`ports.DeadLetters`."""

    def __init__(self, client: Any, named: Callable[[str], str]) -> None:
        """`named` gives the full name of a queue."""
        self._client = client
        self._named = named

    def waiting(self, queue: str) -> int:
        name = "ApproximateNumberOfMessages"
        try:
            url = self._client.get_queue_url(QueueName=self._named(f"{queue}-dead"))["QueueUrl"]
            found = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        except (ClientError, BotoCoreError) as error:
            raise Busy("the queue did not say") from error
        return int(found["Attributes"][name])


def _which(command: Command) -> str:
    """What tells two commands of one kind apart."""
    if isinstance(command, Create):
        return str(command.generation)
    if isinstance(command, Settle):
        return f"{command.host_id}:{command.generation}"
    return command.action if isinstance(command, Power | Resize | Rename) else ""


def _group(event: SingleEvent) -> str:
    """What keeps its order: a container's events, or those of one connection or host."""
    if isinstance(event, ListRequested):
        return event.connection_id
    if isinstance(event, Heartbeat | Inventory):
        return f"host-{event.host_id}"
    return event.container_id


def _what(event: SingleEvent) -> str:
    if isinstance(event, ListRequested | Heartbeat | Inventory):
        return event.kind
    which = event.stage if isinstance(event, Progress) else ""
    if isinstance(event, Abandoned | Renamed):
        which = event.action
    return f"{event.kind}:{which}:{event.generation}:{event.number}"


def _allowed(text: str) -> str:
    """The text, or what stands for it when the queue does not take it: labels on an engine may say anything."""
    return text if _ALLOWED.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()


def _send(client: Any, queue_url: str, body: str, group: str, identity: str) -> None:
    try:
        client.send_message(
            QueueUrl=queue_url,
            MessageBody=body,
            MessageGroupId=_allowed(group),
            MessageDeduplicationId=_allowed(identity),
        )
    except (ClientError, BotoCoreError) as error:
        raise Busy("the queue refused") from error
