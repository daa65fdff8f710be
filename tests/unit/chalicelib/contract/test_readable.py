"""Of a batch everything is read that can be read, in its order; anything else is refused as it was."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.contract.events import LARGEST_BATCH, AboutContainer, Batch, parse_event
from chalicelib.contract.readable import PartOfBatch, Unreadable, read_event
from tests.builders import a_container
from tests.newer import SPOILERS, batch_of
from tests.unit.chalicelib.domain.test_transitions import life


@pytest.fixture
def events() -> list[AboutContainer]:
    return life(a_container())[1:5]


def test_what_can_be_read_in_full_is_read_as_ever(events: list[AboutContainer]) -> None:
    for text in (events[0].model_dump_json(exclude_none=True), batch_of(events, {})):
        assert read_event(text) == parse_event(text)
        assert not isinstance(read_event(text), PartOfBatch)


@pytest.mark.parametrize("how", SPOILERS)
@pytest.mark.parametrize("place", range(4))
def test_one_that_cannot_be_read_costs_the_others_nothing(how: str, place: int, events: list[AboutContainer]) -> None:
    part = read_event(batch_of(events, {place: how}))

    assert isinstance(part, PartOfBatch)
    assert part.events == [event for event in events if event is not events[place]]
    assert part.container_id == events[0].container_id
    assert part.trace == "t-1"
    assert len(part.unreadable) == 1


def test_one_alone_that_can_be_read_is_enough(events: list[AboutContainer]) -> None:
    part = read_event(batch_of(events, dict.fromkeys(range(3), "another kind")))

    assert isinstance(part, PartOfBatch)
    assert part.events == events[3:]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("another kind", Unreadable(kind="hibernated", number=1, reason="union_tag_invalid")),
        ("another field", Unreadable(kind="progress", number=1, reason="extra_forbidden progress.snapshot")),
        ("another type", Unreadable(kind="progress", number=None, reason="int_parsing progress.number")),
        ("no event", Unreadable(kind="", number=None, reason="dict_type")),
    ],
)
def test_it_is_said_what_it_is_and_what_is_wrong(how: str, told: Unreadable, events: list[AboutContainer]) -> None:
    part = read_event(batch_of(events, {0: how}))

    assert isinstance(part, PartOfBatch)
    assert part.unreadable == [told]


def test_nothing_of_its_values_is_said(events: list[AboutContainer]) -> None:
    batch = json.loads(batch_of(events, {}))
    batch["events"][0] |= {"kind": "hunter2 and more", "hunter2!": "hunter2"}
    batch["events"][1] |= {"message": ["hunter2"], "Hunter2": 1}

    part = read_event(json.dumps(batch))

    assert isinstance(part, PartOfBatch)
    assert "hunter2" not in "".join(each.model_dump_json() for each in part.unreadable).lower()


def refused(events: list[Any], **other: Any) -> str:
    return json.dumps({"kind": "batch", "events": events} | other)


def test_what_is_no_batch_or_has_nothing_to_read_is_refused(events: list[AboutContainer]) -> None:
    [one, two] = [json.loads(event.model_dump_json(exclude_none=True)) for event in events[:2]]
    stranger = json.loads(life(a_container())[1].model_dump_json(exclude_none=True))
    ways = [
        "",
        "[]",
        json.dumps(one | {"kind": "hibernated"}),
        refused([]),
        refused([one]),
        refused([{}, None]),
        refused([one, stranger]),
        refused([one, stranger, None]),
        refused([one, two], from_a="newer version"),
        refused([one, *[None] * LARGEST_BATCH]),
        json.dumps({"events": [one, None]}),
        json.dumps({"kind": "batch", "events": {"0": one}}),
    ]

    for text in ways:
        with pytest.raises(ValidationError):
            read_event(text)


def test_nobody_seals_a_part(events: list[AboutContainer]) -> None:
    part = read_event(batch_of(events, {0: "no event"}))

    with pytest.raises(ValidationError):
        parse_event(part.model_dump_json(exclude_none=True))
    assert isinstance(part, Batch)
