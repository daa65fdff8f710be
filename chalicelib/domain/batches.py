"""Events that came together: a record and its events come in, what each does comes out, and all of it as one change.

One write takes them all, so whoever reads sees none or all of them; each is judged as if it had come alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.contract.events import AboutContainer
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.transitions import Change, Ignored, apply


@dataclass(frozen=True, slots=True)
class Applied:
    """What each event does, in order; `whole` is all of it, None when it is nothing."""

    each: tuple[tuple[AboutContainer, Change | Ignored], ...]
    whole: Change | None

    @property
    def again(self) -> bool:
        """Whether nothing is new and the last of it had been applied before: its frames may not have been pushed."""
        last = self.each[-1][1]
        return self.whole is None and isinstance(last, Ignored) and last.again


def apply_in_turn(container: Container, events: Sequence[AboutContainer], now: datetime) -> Applied:
    """What these events of the container, one at least, do to it one after the other.

    The stages of a creation are given the time that lay between them at their host, back from now.
    """
    found: list[tuple[AboutContainer, Change | Ignored]] = []
    record = container
    for event in events:
        change = apply(record, event, _moment(record, event, events[-1], now))
        found.append((event, change))
        if isinstance(change, Change):
            record = change.after
    return Applied(tuple(found), _whole([change for _, change in found if isinstance(change, Change)]))


def _moment(record: Container, event: AboutContainer, last: AboutContainer, now: datetime) -> datetime:
    """When it happened by our own clock, for hosts' clocks differ; never before the stage that it ends began."""
    if record.status is not Status.CREATING or event is last:
        return now
    begun = record.stage_at or record.created_at
    return min(now, max(begun, now - (last.at - event.at)))


def _whole(changes: Sequence[Change]) -> Change | None:
    """All as one. What was changed last is known again by the last event, and all frames are pushed again with it."""
    if len(changes) < 2:
        return changes[0] if changes else None
    before, last = changes[0].before, changes[-1]
    after = last.after.model_copy(update={"version": before.version + 1, "change_seq": before.seq + 1})
    frames = tuple(frame for change in changes for frame in change.frames)
    return Change(before, after, frames, last.at, release=any(change.release for change in changes))
