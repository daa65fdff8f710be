"""What an event does to a container: a record, an event and the time come in, the change goes out or why not.

The tables of `contract.statuses` say what may follow what; everything late, repeated or from an older generation
changes nothing (M2, M6, I8, I13).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.causes import Cause, Code
from chalicelib.contract.events import (
    Abandoned,
    AboutContainer,
    Claimed,
    Created,
    Failed,
    Passed,
    Progress,
    Ready,
    Removed,
    Renamed,
    Resized,
    Started,
    Stopped,
)
from chalicelib.contract.statuses import FOLLOWS, PROGRESS, Stage, Status
from chalicelib.domain.container import NOTHING_PENDING, Container, Frame
from chalicelib.domain.items import item_of

ERROR_KEPT = timedelta(minutes=15)
"""A container in `error` holds its name and counts until deleted or swept after this long."""


@dataclass(frozen=True, slots=True)
class Change:
    """The record after the event, its frames in order, when, and whether name and quota are given back."""

    before: Container
    after: Container
    frames: tuple[Frame, ...]
    at: datetime
    release: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """The event changes nothing; `again` when it is the last one applied, whose frames may not have been pushed."""

    reason: str
    again: bool = False


def apply(container: Container, event: AboutContainer, now: datetime) -> Change | Ignored:
    """What the event does to the container."""
    if event.generation != container.generation and not _opening(event):
        return Ignored("other generation")
    if identity(event) == container.change_id:
        return Ignored("applied already", again=True)
    if event.number and event.number <= container.number:
        return Ignored("older than the last one applied")
    change = _RULES[type(event)](_Draft(container, now), event)
    return change.numbered(event) if isinstance(change, _Draft) else change


def _opening(event: AboutContainer) -> bool:
    """The control plane's first word of a creation: it holds wherever the container is placed, and is told once."""
    return isinstance(event, Progress) and event.stage is Stage.VALIDATING and not event.number


def identity(event: AboutContainer) -> str:
    """What tells an event from every other of its container."""
    if event.number:
        return f"{event.generation}:{event.number}"
    action = f":{event.action}" if isinstance(event, Abandoned | Renamed) else ""
    return f"{event.generation}:{event.kind}{action}"


class _Draft:
    """A change in the making: the record so far and its frames."""

    def __init__(self, before: Container, now: datetime) -> None:
        self.before = before
        self.after = before
        self.now = now
        self.frames: list[Frame] = []
        self.release = False

    def set(self, **changes: Any) -> "_Draft":
        self.after = self.after.model_copy(update=changes)
        return self

    def frame(self, kind: str, body: Callable[["_Draft"], dict[str, Any]]) -> "_Draft":
        self.set(seq=self.after.seq + 1)
        self.frames.append(Frame(type=kind, container=body(self), seq=self.after.seq, timestamp=self.now))
        return self

    def may(self, status: Status) -> bool:
        return status in FOLLOWS[self.before.status]

    def confirm(self, *verbs: Verb) -> bool:
        """Whether one of these was pending, which it is no longer."""
        pending = self.after.pending_power
        if pending is None or pending.verb not in verbs:
            return False
        self.set(pending_power=None)
        self.rest()
        return True

    def follow(self) -> None:
        """What came about without having been asked for is what is wanted from now on."""
        if self.after.pending_power is None:
            self.set(wanted=self.after.status)

    def rest(self) -> None:
        """With nothing pending, the next thing to happen of itself is its expiry; while created, its deadline."""
        if not self.after.pending and self.after.status in (Status.RUNNING, Status.STOPPED):
            self.set(due_at=self.after.expires_at, attempt=0)

    def numbered(self, event: AboutContainer) -> Change:
        if self.after.stage is not self.before.stage:
            self.set(stage_at=self.now)
        self.set(
            version=self.before.version + 1,
            number=event.number or self.after.number,
            change_id=identity(event),
            change_seq=self.before.seq + 1,
        )
        return Change(self.before, self.after, tuple(self.frames), self.now, self.release)


def _progress(draft: _Draft, event: Progress) -> _Draft | Ignored:
    before = draft.before
    if before.status is not Status.CREATING:
        return Ignored("no longer creating")
    if _opening(event) and before.stage is not None:
        return Ignored("told already")
    if event.stage is Stage.ERROR or event.progress < max(before.progress, PROGRESS[event.stage]):
        return Ignored("progress never goes back")
    return draft.set(stage=event.stage, progress=event.progress).frame(
        "progress", lambda d: _progress_body(d.after, event.message)
    )


def _created(draft: _Draft, event: Created) -> _Draft | Ignored:
    if draft.before.status is not Status.CREATING or draft.before.engine_id is not None:
        return Ignored("created already, or no longer creating")
    return draft.set(engine_id=event.engine_id, image_digest=event.image_digest).frame("created", _item)


def _claimed(draft: _Draft, event: Claimed) -> _Draft | Ignored:
    """All of a creation in one change: the same frames in the same order, and none that goes back."""
    if draft.before.status is not Status.CREATING:
        return Ignored("no longer creating")
    for passed in event.passed:
        _pass(draft, passed)
        if passed.stage is Stage.CREATING and draft.after.engine_id is None:
            draft.set(engine_id=event.engine_id, image_digest=event.image_digest).frame("created", _item)
    return _ready(draft, event)


def _pass(draft: _Draft, passed: Passed) -> None:
    """Tell of a stage that was not told of before."""
    if passed.progress > draft.after.progress:
        draft.set(stage=passed.stage, progress=passed.progress)
        draft.frame("progress", lambda d: _progress_body(d.after, passed.message))


def _ready(draft: _Draft, event: Ready | Claimed) -> _Draft | Ignored:
    if draft.before.status is not Status.CREATING:
        return Ignored("no longer creating")
    draft.set(
        status=Status.RUNNING,
        stage=Stage.READY,
        progress=PROGRESS[Stage.READY],
        engine_id=event.engine_id,
        started_at=event.started_at,
        last_used_at=draft.now,
    )
    draft.rest()
    draft.frame(
        "progress",
        lambda d: (
            _progress_body(d.after, "container is ready") | {"complete": True, "container": item_of(d.after, d.now)}
        ),
    )
    return draft.frame("updated", lambda d: _ids(d.after) | {"status": "running", "container_id": event.engine_id})


def _failed(draft: _Draft, event: Failed) -> _Draft | Ignored:
    if draft.before.status is not Status.CREATING:
        return Ignored("no longer creating")
    draft.set(status=Status.ERROR, error=event.cause, reserved=False, due_at=draft.now + ERROR_KEPT)
    cause = event.cause.model_dump(mode="json", exclude_none=True)
    draft.frame(
        "progress",
        lambda d: (
            _ids(d.after)
            | {
                "stage": Stage.ERROR.value,
                "progress": PROGRESS[Stage.ERROR],
                "message": event.cause.message,
                "complete": True,
                "error": cause,
            }
        ),
    )
    return draft.frame("updated", lambda d: _ids(d.after) | {"status": "error", "error": cause})


def _stopped(draft: _Draft, event: Stopped) -> _Draft | Ignored:
    """A host that is lost has confirmed nothing: when it is back, what is pending is still asked of it.

    One whose engine failed has answered, whatever was asked for. And what was lost with its host, and has ended there,
    has stopped for that reason: no older inventory can say any more that it runs.
    """
    failed = event.cause.code is Code.ENGINE_ERROR
    answers = tuple(Verb) if failed else (Verb.STOP,)
    by_host = event.cause.code is not Code.HOST_LOST
    confirmed = by_host and draft.confirm(*answers)
    if not draft.may(Status.STOPPED) and not (by_host and _lost(draft.before)):
        return _still_stopped(draft, event, failed=failed) if confirmed else Ignored("cannot stop from here")
    draft.set(status=Status.STOPPED, stopped_because=event.cause)
    draft.rest()
    draft.follow()
    return draft.frame("stopped", _ended_item(event))


def _lost(container: Container) -> bool:
    """Whether it was stopped because its host fell silent, whatever became of it there."""
    because = container.stopped_because
    return container.status is Status.STOPPED and because is not None and because.code is Code.HOST_LOST


def _still_stopped(draft: _Draft, event: Stopped, *, failed: bool) -> _Draft:
    """What was asked for is answered, and nothing changed: that is told only when more was hoped for."""
    draft.follow()
    return draft.frame("updated", lambda d: _updated(d.after, error=event.cause)) if failed else draft


def _started(draft: _Draft, event: Started) -> _Draft | Ignored:
    """A host that was cut off tells again what runs: that is no answer to a restart."""
    before = draft.before
    if before.status is Status.RUNNING and draft.confirm(Verb.START):
        return draft
    if before.status is not Status.STOPPED:
        return Ignored("not stopped")
    draft.set(status=Status.RUNNING, started_at=event.started_at, last_used_at=draft.now, stopped_because=None)
    draft.confirm(Verb.START, Verb.RESTART)
    draft.follow()
    return draft.frame("started", _item)


def _abandoned(draft: _Draft, event: Abandoned) -> _Draft | Ignored:
    """A resize that its host did not confirm is undone in the record; should it be done after all, the host says so."""
    power, resize = draft.before.pending_power, draft.before.pending_resize
    if power is not None and power.action == event.action:
        draft.set(pending_power=None, wanted=draft.before.status).rest()
        return draft.frame("updated", lambda d: _updated(d.after, event.cause))
    if resize is not None and resize.action == event.action:
        draft.set(pending_resize=None, resources=resize.before).rest()
        return draft.frame("updated", lambda d: _updated(d.after, event.cause, resources=resize.before.model_dump()))
    return Ignored("no longer pending")


def _resized(draft: _Draft, event: Resized) -> _Draft | Ignored:
    """The record and its host's room follow what the host has made of it, asked for or not."""
    before = draft.before
    if before.status not in (Status.RUNNING, Status.STOPPED):
        return Ignored("neither running nor stopped")
    pending = before.pending_resize
    if pending is not None and event.action.partition(":")[0] != pending.action:
        return Ignored("asked for otherwise since")
    amounts = {"memory_mb": event.resources.memory_mb, "cpu_shares": event.resources.cpu_shares}
    resources = before.resources.model_copy(update=amounts)
    if pending is None and resources == before.resources and event.cause is None:
        return Ignored("so already")
    draft.set(resources=resources, pending_resize=None)
    draft.rest()
    return draft.frame("updated", lambda d: _updated(d.after, event.cause, resources=resources.model_dump()))


def _renamed(draft: _Draft, event: Renamed) -> _Draft | Ignored:
    if not draft.before.live or draft.before.pending_rename != event.action:
        return Ignored("told already, or gone")
    draft.set(pending_rename=None)
    draft.rest()
    return draft.frame("updated", lambda d: _updated(d.after, name=d.after.name))


def _removed(draft: _Draft, event: Removed) -> _Draft | Ignored:
    """One in `error` has lost its engine container with its creation: its record stays until deleted or swept."""
    if not draft.may(Status.DELETED) or draft.before.status is Status.ERROR:
        return Ignored("deleted already, or in error")
    draft.release = draft.before.live
    cause = draft.before.deleted_because or event.cause
    if draft.before.status is Status.RUNNING and event.cause.code is not Code.USER:
        draft.set(status=Status.STOPPED, stopped_because=event.cause)
        draft.frame("stopped", _ended_item(event))
    draft.set(status=Status.DELETED, reserved=False, due_at=None, **NOTHING_PENDING)
    reason = cause.model_dump(mode="json", exclude_none=True)
    return draft.frame(
        "deleted",
        lambda d: _ids(d.after) | {"name": d.after.name, "reason": cause.code.value, "cause": reason},
    )


_RULES: dict[type, Callable[..., _Draft | Ignored]] = {
    Progress: _progress,
    Created: _created,
    Ready: _ready,
    Claimed: _claimed,
    Failed: _failed,
    Stopped: _stopped,
    Started: _started,
    Abandoned: _abandoned,
    Resized: _resized,
    Renamed: _renamed,
    Removed: _removed,
}


def _ids(container: Container) -> dict[str, Any]:
    return {"id": container.id, "db_id": container.id}


def _item(draft: _Draft) -> dict[str, Any]:
    return item_of(draft.after, draft.now)


def _ended_item(event: Stopped | Removed) -> Callable[[_Draft], dict[str, Any]]:
    return lambda d: item_of(d.after, d.now) | {"reason": event.cause.code.value}


def _updated(container: Container, error: Cause | None = None, **changed: Any) -> dict[str, Any]:
    """What has changed, and what has gone wrong with it."""
    body = _ids(container) | {"status": container.status.value} | changed
    return body | ({"error": error.model_dump(mode="json", exclude_none=True)} if error else {})


def _progress_body(container: Container, message: str) -> dict[str, Any]:
    body = _ids(container) | {
        "stage": container.stage.value if container.stage else None,
        "message": message,
        "progress": container.progress,
    }
    return body | ({"container_id": container.engine_id} if container.engine_id else {})
