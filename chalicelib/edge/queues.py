"""Queue records: an SQS event comes in, each body goes to its service; what must come again raises."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from chalice.app import SQSEvent, SQSRecord
from pydantic import ValidationError

from chalicelib.contract.commands import parse_command
from chalicelib.contract.tracing import bound
from chalicelib.domain.errors import RetryLater, UnreadableEvent, UntrustedEvent
from chalicelib.ports import Metrics
from chalicelib.services.enrolment import Enrolments
from chalicelib.services.provisioning import Provisioning
from chalicelib.services.status import StatusWriter

log = logging.getLogger("berth.queues")

LONGEST_PAUSE_SECONDS = 16
UNREADABLE = (ValidationError, UnreadableEvent)


class Redelivery(Protocol):
    """Saying when a message that was not done with comes again."""

    def after(self, receipt_handle: str, seconds: int) -> None:
        """Deliver it again this many seconds from now."""


def carry_out_commands(event: SQSEvent, provisioning: Provisioning, redelivery: Redelivery, metrics: Metrics) -> None:
    """Carry out each command of the event (one, with batch size 1)."""
    for record in event:
        metrics.measure("QueueAge", _age(record), "Seconds", queue="commands")
        _once(record, redelivery, lambda body, count: _carry_out(provisioning, body, count))


def _carry_out(provisioning: Provisioning, body: str, count: int) -> None:
    command = parse_command(body)
    with bound(command=command.kind, container=command.container_id, trace=command.trace):
        provisioning.carry_out(command, count)


def record_events(event: SQSEvent, status: StatusWriter, redelivery: Redelivery, metrics: Metrics) -> None:
    """Apply each event (one, with batch size 1); a forged one is dropped and told in the log.

    Of a batch with events that cannot be read the others are applied; each delivery of such a message is counted.
    """
    for record in event:
        metrics.measure("QueueAge", _age(record), "Seconds", queue="events")
        try:
            _once(record, redelivery, _recording(status, _sent_at(record)))
        except UntrustedEvent as error:
            metrics.count("EventsDropped", reason="untrusted")
            log.error("event refused", extra={"reason": str(error), "message_id": record.to_dict()["messageId"]})
        except UNREADABLE:
            metrics.count("EventsDropped", reason="unreadable")
            raise


def _recording(status: StatusWriter, sent_at: datetime | None) -> Callable[[str, int], None]:
    return lambda body, _count: status.record(body, sent_at)


def _sent_at(record: SQSRecord) -> datetime | None:
    """When the queue took it, by the queue's clock, if it says so."""
    sent = int(record.to_dict()["attributes"].get("SentTimestamp", 0)) / 1000
    return datetime.fromtimestamp(sent, UTC) if sent else None


def _age(record: SQSRecord) -> float:
    """Seconds since it was sent, at its first delivery or a later one."""
    sent = _sent_at(record)
    return max(0.0, time.time() - sent.timestamp()) if sent else 0.0


def enrol_hosts(event: SQSEvent, enrolments: Enrolments, redelivery: Redelivery) -> None:
    """Make each host that asks for it known; who is none is told in the log."""
    for record in event:
        sender = record.to_dict()["attributes"]["SenderId"]
        try:
            _once(record, redelivery, lambda body, _count, sender=sender: enrolments.enrol(sender, body))  # type: ignore[misc]
        except UntrustedEvent as error:
            log.error("enrolment refused", extra={"reason": str(error), "sender": sender})


def _once(record: SQSRecord, redelivery: Redelivery, work: Callable[[str, int], None]) -> None:
    """Do the work of one record; on failure say when it comes again, and fail so that it is not deleted.

    A body that cannot be read, or not all of it, comes again at once, so that it is soon among the dead letters. After
    a fault that nobody foresaw it comes again ever later: all tries are over before a creation that waits behind it has
    to end (I1).
    """
    raw = record.to_dict()
    with bound(message_id=raw["messageId"]):
        _tried(record, raw, redelivery, work)


def _tried(record: SQSRecord, raw: dict[str, Any], redelivery: Redelivery, work: Callable[[str, int], None]) -> None:
    count = int(raw["attributes"]["ApproximateReceiveCount"])
    try:
        work(record.body, count)
    except RetryLater as error:
        log.info("message comes again", extra={"reason": str(error), "seconds": error.seconds})
        if error.seconds is not None:
            redelivery.after(record.receipt_handle, error.seconds)
        raise
    except UNREADABLE:
        log.error("message cannot be read", extra={"group": raw["attributes"].get("MessageGroupId")})
        redelivery.after(record.receipt_handle, 0)
        raise
    except UntrustedEvent:
        raise
    except Exception:
        redelivery.after(record.receipt_handle, min(2 ** (count - 1), LONGEST_PAUSE_SECONDS))
        raise
