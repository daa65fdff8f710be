"""Items: plain Python values come in, DynamoDB's typed attribute values go out, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()

Item = dict[str, Any]
"""An item in DynamoDB's own form: attribute name → {type: value}."""


def to_item(values: Mapping[str, Any]) -> Item:
    """The item of these values; None is left out, floats become decimals."""
    return {name: value_of(value) for name, value in values.items() if value is not None}


def value_of(value: Any) -> dict[str, Any]:
    """One attribute value."""
    return dict(_SERIALIZER.serialize(_plain(value)))


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an item; whole numbers as int."""
    return {name: _python(_DESERIALIZER.deserialize(value)) for name, value in item.items()}


def instant(moment: datetime) -> str:
    """An instant as text of fixed width that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970, as DynamoDB's expiry wants them."""
    return int(moment.timestamp())


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _python(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: _python(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_python(each) for each in value]
    return value
