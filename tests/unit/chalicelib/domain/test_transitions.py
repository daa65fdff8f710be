"""What events do to a container: every legal step, and everything late, repeated or foreign that changes nothing."""

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.causes import Code
from chalicelib.contract.events import (
    AboutContainer,
    Claimed,
    Created,
    Failed,
    Passed,
    Progress,
    Ready,
    Removed,
    Stopped,
)
from chalicelib.contract.statuses import FOLLOWS, Stage, Status
from chalicelib.domain.container import Container
from chalicelib.domain.items import item_of
from chalicelib.domain.transitions import Change, Ignored, apply
from tests.builders import NOW, a_cause, a_container, about


def life(container: Container) -> list[AboutContainer]:
    """The events of a creation that goes well, and of its removal."""
    return [
        Progress(**about(container, 0), stage=Stage.VALIDATING, progress=10, message="m"),
        Progress(**about(container, 1), stage=Stage.PULLING, progress=30, message="m"),
        Progress(**about(container, 2), stage=Stage.PULLING, progress=60, message="m"),
        Progress(**about(container, 3), stage=Stage.CREATING, progress=65, message="m"),
        Created(**about(container, 4), engine_id="e" * 64),
        Progress(**about(container, 5), stage=Stage.STARTING, progress=75, message="m"),
        Progress(**about(container, 6), stage=Stage.CONFIGURING, progress=90, message="m"),
        Ready(**about(container, 7), engine_id="e" * 64, started_at=NOW),
        Stopped(**about(container, 8), cause=a_cause(Code.EXITED)),
        Removed(**about(container, 9), cause=a_cause()),
    ]


def after(container: Container, events: list[AboutContainer]) -> tuple[Container, list[Any]]:
    """The container and all frames after these events, those that change nothing left out."""
    frames = []
    for event in events:
        change = apply(container, event, NOW)
        if isinstance(change, Change):
            container = change.after
            frames += change.frames
    return container, frames


def test_a_life_goes_through_every_stage_and_status() -> None:
    started = a_container()
    container, frames = after(started, life(started))

    assert container.status is Status.DELETED
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.type for frame in frames] == [
        "progress", "progress", "progress", "progress", "created", "progress", "progress", "progress", "updated",
        "stopped", "deleted",
    ]  # fmt: skip


def claimed(container: Container, number: int) -> Claimed:
    """The stages of `life`, told at once."""
    passed = [
        Passed(stage=event.stage, progress=event.progress, message=event.message)
        for event in life(container)[2:7]
        if isinstance(event, Progress)
    ]
    return Claimed(**about(container, number), engine_id="e" * 64, started_at=NOW, passed=passed)


def told_in(frames: list[Any]) -> list[tuple[Any, ...]]:
    """What clients see of them in order, but for their numbers."""
    return [(each.type, each.container.get("stage"), each.container.get("progress")) for each in frames]


@pytest.mark.parametrize("told", range(8))
def test_what_is_claimed_ends_with_the_frames_and_the_record_of_what_goes_through_every_stage(told: int) -> None:
    """Also where part of the stages had been told before, by a process that died."""
    started = a_container()
    slow, frames = after(started, life(started)[:8])

    quick, fewer = after(started, [*life(started)[:told], claimed(started, 7)])

    same = {"version": 0, "stage_at": None, "seq": 0, "change_seq": 0, "change_id": None, "number": 0}
    assert quick.model_copy(update=same) == slow.model_copy(update=same)
    untold = {10} if not told else set()
    untold |= {30} if told < 2 else set()
    assert told_in(fewer) == [each for each in told_in(frames) if each[2] not in untold]
    assert isinstance(apply(slow, claimed(started, 9), NOW), Ignored)


def test_what_the_tag_was_pinned_to_is_kept_and_shown() -> None:
    digest = "sha256:" + "d" * 64
    created = Created(**about(a_container(), 1), engine_id="e" * 64, image_digest=digest)
    container, frames = after(a_container(id=created.container_id), [created])

    assert container.image_digest == digest
    assert [frame.container["image_digest"] for frame in frames] == [digest]
    assert "image_digest" not in item_of(a_container(), NOW)


def test_an_event_that_comes_again_changes_nothing_but_may_be_pushed_again() -> None:
    container = a_container()
    events = life(container)
    once, _ = after(container, events[:5])

    assert apply(once, events[4], NOW) == Ignored("applied already", again=True)
    for late in events[1:4]:
        assert apply(once, late, NOW) == Ignored("older than the last one applied")


def test_events_of_another_generation_change_nothing() -> None:
    container = a_container(generation=2)

    _, *of_a_host = life(a_container(id=container.id, generation=1))
    for event in of_a_host:
        assert isinstance(apply(container, event, NOW), Ignored)


def test_delete_wins_over_everything_but_the_end() -> None:
    container = a_container(status=Status.DELETING)
    *others, _, removed = life(container)

    for event in others:
        assert isinstance(apply(container, event, NOW), Ignored)
    change = apply(container, removed, NOW)
    assert isinstance(change, Change)
    assert change.after.status is Status.DELETED
    assert change.release is False


def test_nothing_follows_the_end() -> None:
    container = a_container(status=Status.DELETED)

    for event in life(container):
        assert isinstance(apply(container, event, NOW), Ignored)


def test_a_failure_says_why_twice_and_keeps_the_reason() -> None:
    container = a_container(host_id="h", reserved=True)
    change = apply(container, Failed(**about(container, 1), cause=a_cause(Code.IMAGE_NOT_FOUND)), NOW)

    assert isinstance(change, Change)
    progress, updated = (frame.container for frame in change.frames)
    assert (progress["stage"], progress["progress"], progress["complete"]) == ("error", 0, True)
    assert updated["status"] == "error"
    assert progress["error"] == updated["error"]
    assert change.after.error == a_cause(Code.IMAGE_NOT_FOUND)
    assert (change.after.reserved, change.release) == (False, False)
    assert change.after.due_at == NOW + timedelta(minutes=15)


def test_an_end_by_expiry_is_told_as_stopped_and_deleted_and_gives_all_back() -> None:
    container = a_container(status=Status.RUNNING, reserved=True)
    change = apply(container, Removed(**about(container, 8), cause=a_cause(Code.EXPIRED)), NOW)

    assert isinstance(change, Change)
    assert [(frame.type, frame.container["reason"]) for frame in change.frames] == [
        ("stopped", "expired"),
        ("deleted", "expired"),
    ]
    assert (change.release, change.after.reserved) == (True, False)


def test_a_container_that_was_stopped_says_why() -> None:
    container = a_container(status=Status.RUNNING)
    change = apply(container, Stopped(**about(container, 8), cause=a_cause(Code.OOM)), NOW)

    assert isinstance(change, Change)
    assert change.frames[0].container["reason"] == "oom"
    assert change.after.stopped_because == a_cause(Code.OOM)


@pytest.mark.parametrize("missing", range(9))
def test_an_event_that_never_came_does_not_hold_up_the_rest(missing: int) -> None:
    container = a_container()
    events = life(container)
    del events[missing]

    ended, frames = after(container, events)

    assert ended.status is Status.DELETED
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))


@given(seed=st.integers())
def test_in_any_order_and_any_number_of_times_nothing_goes_back(seed: int) -> None:
    shuffle = random.Random(seed)
    container = a_container()
    events = life(container) * 3
    shuffle.shuffle(events)
    statuses, percents, seqs = [container.status], [0], [0]

    for event in events:
        change = apply(container, event, NOW)
        if isinstance(change, Change):
            container = change.after
            statuses.append(container.status)
            percents.append(container.progress)
            seqs += [frame.seq for frame in change.frames]

    assert percents == sorted(percents)
    assert seqs == list(range(len(seqs)))
    for one, other in itertools.pairwise(statuses):
        assert one == other or other in FOLLOWS[one]


def test_that_a_request_is_valid_is_told_once_wherever_the_container_is_placed() -> None:
    first, anew = a_container(), a_container(generation=2)
    opening = Progress(**about(first), stage=Stage.VALIDATING, progress=10, message="m")
    again = Progress(**about(anew), stage=Stage.VALIDATING, progress=10, message="m")

    change = apply(anew, opening, NOW)

    assert isinstance(change, Change)
    assert isinstance(apply(change.after, again, NOW), Ignored)
