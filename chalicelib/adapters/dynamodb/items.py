"""Items: plain Python values come in, DynamoDB's typed attribute values go out, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Item = dict[str, Any]
"""An item in DynamoDB's own form: attribute name → {type: value}."""


def to_item(values: Mapping[str, Any]) -> Item:
    """The item of these values; None is left out."""
    return {name: value_of(value) for name, value in values.items() if value is not None}


def value_of(value: Any) -> dict[str, Any]:
    """One attribute value, or TypeError for what is never kept; sets are of texts."""
    if isinstance(value, Mapping):
        return {"M": to_item(value)}
    if isinstance(value, list | tuple):
        return {"L": [value_of(each) for each in value]}
    if isinstance(value, set):
        return {"SS": sorted(value)}
    return _single(value)


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an item; whole numbers as int."""
    return {name: _python(value) for name, value in item.items()}


def instant(moment: datetime) -> str:
    """An instant as text of fixed width that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970, as DynamoDB's expiry wants them."""
    return int(moment.timestamp())


def _single(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float | Decimal):
        return {"N": str(value)}
    if isinstance(value, datetime):
        return {"S": instant(value)}
    if isinstance(value, str):
        return {"S": str(value)}
    raise TypeError(f"a {type(value).__name__} has no place in an item")


def _python(value: Mapping[str, Any]) -> Any:
    [(kind, held)] = value.items()
    if kind == "N":
        number = Decimal(held)
        return int(number) if number == number.to_integral_value() else float(number)
    if kind == "M":
        return from_item(held)
    if kind == "L":
        return [_python(each) for each in held]
    if kind == "SS":
        return set(held)
    return None if kind == "NULL" else held
