"""Items say what boto3's own form of the same values says, and come back as they were."""

from datetime import UTC, datetime
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as some

from chalicelib.adapters.dynamodb.items import from_item, to_item
from chalicelib.contract.statuses import Status

NUMBERS = some.integers(-(10**37), 10**37) | some.floats(0.001, 1e12) | some.floats(-1e12, -0.001)
SINGLE = some.none() | some.booleans() | some.text() | some.integers(-(10**37), 10**37)
VALUES = some.recursive(SINGLE, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner), max_leaves=20)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list) else value


@given(values=some.dictionaries(some.text(), VALUES))
def test_an_item_is_what_boto3_makes_of_it_and_comes_back(values: dict[str, Any]) -> None:
    kept = _without_none(values)

    item = to_item(values)

    assert item == {name: TypeSerializer().serialize(value) for name, value in kept.items()}
    assert from_item(item) == kept


@given(number=NUMBERS)
def test_a_number_comes_back_as_it_was(number: float) -> None:
    [item] = to_item({"number": number}).values()

    assert from_item({"number": item}) == {"number": number}
    assert float(TypeDeserializer().deserialize(item)) == number


def test_statuses_and_instants_are_texts() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    item = to_item({"status": Status.RUNNING, "at": at, "pair": (1, None)})

    assert item == {
        "status": {"S": "running"},
        "at": {"S": "2026-01-02T03:04:05.000000+00:00"},
        "pair": {"L": [{"N": "1"}, {"NULL": True}]},
    }
    assert type(item["status"]["S"]) is str


def test_a_set_of_texts_is_boto3s_and_comes_back() -> None:
    item = to_item({"names": {"b", "a"}})

    assert item == {"names": {"SS": ["a", "b"]}}
    assert TypeDeserializer().deserialize(item["names"]) == {"a", "b"}
    assert from_item(item) == {"names": {"a", "b"}}


@pytest.mark.parametrize("value", [b"bytes", frozenset({"a"}), object()])
def test_what_is_never_kept_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        to_item({"value": value})
