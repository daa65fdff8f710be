"""The only writer of status: events come in, records, event log rows and pushed frames go out (design §1)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.contract.events import AboutContainer, Batch, Event, Heartbeat, Inventory, ListRequested
from chalicelib.contract.readable import PartOfBatch
from chalicelib.contract.signatures import CONTROL_PLANE, BadSignature, parse_envelope
from chalicelib.contract.statuses import Status
from chalicelib.contract.tracing import bound
from chalicelib.domain.batches import Applied, apply_in_turn
from chalicelib.domain.container import Container
from chalicelib.domain.errors import NotFound, RetryLater, StaleWrite, UnreadableEvent, UntrustedEvent
from chalicelib.domain.host import brief
from chalicelib.domain.transitions import Change, Ignored
from chalicelib.ports import Clock, ContainerStore, HostStore, Metrics
from chalicelib.services.fanout import FanOut
from chalicelib.services.inventories import Inventories
from chalicelib.services.keyring import Keyring
from chalicelib.services.subscriptions import Subscriptions
from chalicelib.services.unmeasured import UNMEASURED

log = logging.getLogger("berth.status")

WRITE_TRIES = 5


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Apply events to records, once and in order, and push what they change after it is committed."""

    containers: ContainerStore
    hosts: HostStore
    keyring: Keyring
    subscriptions: Subscriptions
    fanout: FanOut
    inventories: Inventories
    clock: Clock
    metrics: Metrics = UNMEASURED

    def record(self, body: str, sent_at: datetime | None = None) -> None:
        """Take one queue body. UntrustedEvent for a forged one, RetryLater when it must come again.

        What can be read of a batch is applied before UnreadableEvent tells of the rest: where nothing can be read,
        it is pydantic's ValidationError.
        `sent_at` is when the queue took it, by the queue's clock; None = now.
        """
        try:
            envelope = parse_envelope(body)
        except BadSignature as error:
            raise UntrustedEvent(str(error)) from error
        event = self.keyring.open(envelope)
        with bound(trace=event.trace, event=event.kind, signer=envelope.signer):
            self._take(event, envelope.signer, sent_at)

    def _take(self, event: Event, signer: str, sent_at: datetime | None) -> None:
        if isinstance(event, Heartbeat):
            self._heartbeat(event, signer, sent_at)
        elif isinstance(event, ListRequested):
            self._list(event, signer)
        elif isinstance(event, Inventory):
            self._inventory(event, signer)
        else:
            with bound(container=event.container_id):
                self._about_container(event.events if isinstance(event, Batch) else [event], signer)
                if isinstance(event, PartOfBatch):
                    _give_up(event)

    def _heartbeat(self, event: Heartbeat, signer: str, sent_at: datetime | None) -> None:
        """A beat that was held up proves that its host lived when it was sent, and no later."""
        if signer != event.host_id:
            raise UntrustedEvent("a host may only speak for itself")
        self.hosts.heartbeat(event.host_id, brief(event.report), sent_at or self.clock.now())

    def _inventory(self, event: Inventory, signer: str) -> None:
        if signer != event.host_id:
            raise UntrustedEvent("a host may only speak for itself")
        self.inventories.compare(event)
        for started in self.inventories.alive(event):
            self._about_container([started], CONTROL_PLANE)

    def _list(self, event: ListRequested, signer: str) -> None:
        if signer != CONTROL_PLANE:
            raise UntrustedEvent("only the control plane asks for lists")
        self.subscriptions.welcome(event.user_id, event.connection_id)

    def _about_container(self, events: Sequence[AboutContainer], signer: str) -> None:
        """Apply events of one container, one at least, in one write; push what they change."""
        try:
            applied = self._applied(events, signer)
        except NotFound:
            log.info("event for an unknown container", extra={"container": events[0].container_id})
            self.metrics.count("EventsDropped", reason="unknown container")
            return
        if applied.whole is not None:
            self.fanout.announce(applied.whole.after.user_id, applied.whole.frames)
        elif applied.again:
            self._push_again(events[-1])
        for event, change in applied.each:
            self._tell_of(event, change)

    def _tell_of(self, event: AboutContainer, change: Change | Ignored) -> None:
        """What became of it, in log and metrics."""
        if isinstance(change, Change):
            _log(event, change)
            self._measure(event, change)
            return
        self.metrics.count("EventsDropped", reason=change.reason)
        log.info("event ignored", extra=_ids(event) | {"reason": change.reason})

    def _measure(self, event: AboutContainer, change: Change) -> None:
        """What was applied, and how long the stage took that it ends."""
        self.metrics.count("EventsApplied", kind=event.kind)
        before, after = change.before, change.after
        if before.status is not Status.CREATING or (before.stage is after.stage and before.status is after.status):
            return
        now = change.at
        if before.stage is not None and before.stage_at is not None:
            self.metrics.measure("StageSeconds", (now - before.stage_at).total_seconds(), "Seconds", stage=before.stage)
        if after.status is Status.RUNNING:
            self.metrics.measure("ReadySeconds", (now - before.created_at).total_seconds(), "Seconds")
        elif after.error is not None and after.status is Status.ERROR:
            self.metrics.count("CreationsFailed", code=after.error.code)

    def _applied(self, events: Sequence[AboutContainer], signer: str) -> Applied:
        for _ in range(WRITE_TRIES):
            container = self.containers.get(events[0].user_id, events[0].container_id)
            _check_signer(signer, container)
            applied = apply_in_turn(container, events, self.clock.now())
            whole = applied.whole
            if whole is None:
                return applied
            try:
                self.containers.apply(whole.before, whole.after, whole.frames, release=whole.release)
                return applied
            except StaleWrite:
                continue
        raise RetryLater("record kept changing", seconds=1)

    def _push_again(self, event: AboutContainer) -> None:
        """The last event came again: its frames may not have been pushed; clients drop what they have."""
        container = self.containers.get(event.user_id, event.container_id)
        frames = self.containers.frames_after(container.id, container.change_seq - 1)
        self.fanout.announce(container.user_id, frames)


def _give_up(part: PartOfBatch) -> None:
    """Say what cannot be read. The signature is for the whole message, so the whole goes to the dead letters."""
    for each in part.unreadable:
        log.error("event cannot be read", extra={"kind": each.kind, "number": each.number, "reason": each.reason})
    raise UnreadableEvent(f"{len(part.unreadable)} of {len(part.unreadable) + len(part.events)} cannot be read")


def _check_signer(signer: str, container: Container) -> None:
    """Only the host that the container is placed on, or the control plane, may speak about it (I16)."""
    if signer not in (CONTROL_PLANE, container.host_id):
        raise UntrustedEvent("the container is not on that host")


def _ids(event: AboutContainer) -> dict[str, object]:
    return {"container": event.container_id, "user": event.user_id, "kind": event.kind, "number": event.number}


def _log(event: AboutContainer, change: Change) -> None:
    log.info("event applied", extra=_ids(event) | {"status": change.after.status, "seq": change.after.seq})
