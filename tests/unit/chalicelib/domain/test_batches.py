"""Events that come together do what they do one by one, in one change that is known again whole."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chalicelib.contract.events import LARGEST_BATCH, AboutContainer, Batch, Progress, Ready, parse_event
from chalicelib.contract.statuses import Stage, Status
from chalicelib.domain.batches import apply_in_turn
from chalicelib.domain.container import Container
from tests.builders import NOW, a_container, about
from tests.unit.chalicelib.domain.test_transitions import after, life

TOGETHER = ("version", "change_id", "change_seq", "stage_at", "last_used_at")
"""What may differ: how many writes there were, which of them was the last, and when."""


def content(container: Container, frames: Any) -> tuple[Any, Any]:
    return container.model_dump(exclude=set(TOGETHER)), [(frame.type, frame.container, frame.seq) for frame in frames]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=14), st.lists(st.integers(1, 5), max_size=14))
def test_batches_do_what_their_events_do(said: list[int], sizes: list[int]) -> None:
    """Late, repeated and out of order too: `said` are places in a life's events, `sizes` those of its batches."""
    started = a_container()
    events = [life(started)[place] for place in said]
    alone, told = after(started, events)
    container, frames = started, []
    waiting = list(events)
    for size in [*sizes, *[1] * len(events)]:
        batch, waiting = waiting[:size], waiting[size:]
        if not batch:
            break
        whole = apply_in_turn(container, batch, NOW).whole
        if whole is not None:
            assert whole.before is container
            assert whole.after.version == container.version + 1
            container, frames = whole.after, [*frames, *whole.frames]

    assert content(container, frames) == content(alone, told)


def test_a_batch_that_comes_again_is_known_and_all_its_frames_are_pushed_again() -> None:
    started = a_container()
    first = apply_in_turn(started, life(started)[:3], NOW).whole
    assert first is not None
    batch = life(started)[3:7]
    second = apply_in_turn(first.after, batch, NOW).whole
    assert second is not None

    again = apply_in_turn(second.after, batch, NOW)

    assert again.whole is None
    assert again.again
    assert second.after.change_seq == first.after.seq + 1
    assert [frame.seq for frame in second.frames] == list(range(second.after.change_seq, second.after.seq + 1))


def test_a_batch_of_which_some_is_new_does_the_rest() -> None:
    started = a_container()
    known = apply_in_turn(started, life(started)[:4], NOW).whole
    assert known is not None

    applied = apply_in_turn(known.after, life(started)[2:8], NOW)

    assert not applied.again
    assert applied.whole is not None
    assert applied.whole.after.status is Status.RUNNING
    assert applied.whole.frames[0].seq == known.after.seq + 1


def test_stages_that_come_together_keep_the_time_between_them() -> None:
    container = a_container(created_at=NOW - timedelta(seconds=10))
    host_clock = NOW + timedelta(hours=3)  # what a host's clock says is good for differences only
    times = [host_clock + timedelta(seconds=seconds) for seconds in (0, 2, 3)]
    events: list[AboutContainer] = [
        Progress(**about(container, 1, at=times[0]), stage=Stage.PULLING, progress=15, message="m"),
        Progress(**about(container, 2, at=times[1]), stage=Stage.STARTING, progress=75, message="m"),
        Ready(**about(container, 3, at=times[2]), engine_id="e", started_at=NOW),
    ]

    whole = apply_in_turn(container, events, NOW).whole

    assert whole is not None
    assert [(frame.timestamp - NOW).total_seconds() for frame in whole.frames] == [-3, -1, 0, 0]
    assert whole.after.stage_at == NOW


@pytest.mark.parametrize("drift", [timedelta(days=-1), timedelta(days=1)])
def test_a_clock_that_jumps_gives_no_moment_before_the_stage_or_after_now(drift: timedelta) -> None:
    begun = NOW - timedelta(seconds=5)
    container = a_container(created_at=begun, stage=Stage.PULLING, stage_at=begun)
    events: list[AboutContainer] = [
        Progress(**about(container, 1, at=NOW + drift), stage=Stage.CREATING, progress=65, message="m"),
        Progress(**about(container, 2, at=NOW), stage=Stage.STARTING, progress=75, message="m"),
    ]

    whole = apply_in_turn(container, events, NOW).whole

    assert whole is not None
    assert all(begun <= frame.timestamp <= NOW for frame in whole.frames)


def test_a_batch_is_about_one_container_and_has_a_size() -> None:
    one, other = a_container(), a_container()
    events = life(one)[1:3]

    assert parse_event(Batch(events=events).model_dump_json(exclude_none=True)) == Batch(events=events)
    for wrong in ([events[0], life(other)[2]], events[:1], events * LARGEST_BATCH):
        with pytest.raises(ValidationError):
            Batch(events=wrong)
