"""What can be read of an event: JSON text comes in, the event goes out, or of a batch the events that can be read.

An agent may be newer than the functions. What it tells that they know must not wait until they know the rest.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from chalicelib.contract.events import LARGEST_BATCH, AboutContainer, Batch, Event, OneInABatch, parse_event
from chalicelib.contract.model import Message, Traced

_ONE: TypeAdapter[AboutContainer] = TypeAdapter(OneInABatch, config=ConfigDict(defer_build=True))
_NAME = re.compile(r"[a-z0-9_.]{1,80}")
"""A word that may go into a log: never a value."""


class Unreadable(Message):
    """An event that cannot be read: what can be told of it all the same."""

    kind: str
    number: int | None
    reason: str


class PartOfBatch(Batch):
    """The events of a batch that can be read, in their order, and what the others are; nobody sends it."""

    events: Annotated[list[OneInABatch], Field(min_length=1, max_length=LARGEST_BATCH)]
    unreadable: list[Unreadable]


class _Items(Traced):
    """A batch whose events nobody has looked at."""

    kind: Literal["batch"]
    events: Annotated[list[Any], Field(min_length=2, max_length=LARGEST_BATCH)]


def read_event(text: str) -> Event:
    """The event, whole or a `PartOfBatch`; pydantic's ValidationError where nothing of it can be read."""
    try:
        return parse_event(text)
    except ValidationError as error:
        try:
            return _part(_Items.model_validate_json(text))
        except ValidationError:
            raise error from None


def _part(items: _Items) -> PartOfBatch:
    events: list[AboutContainer] = []
    unreadable: list[Unreadable] = []
    for item in items.events:
        try:
            events.append(_ONE.validate_json(json.dumps(item)))
        except ValidationError as error:
            unreadable.append(_told(item, error))
    return PartOfBatch(events=events, unreadable=unreadable, trace=items.trace)


def _told(item: Any, error: ValidationError) -> Unreadable:
    found = item if isinstance(item, dict) else {}
    kind, number = found.get("kind"), found.get("number")
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return Unreadable(
        kind=_word(kind),
        number=number if type(number) is int else None,
        reason=f"{first['type']} {_word(where)}".strip(),
    )


def _word(found: object) -> str:
    return found if isinstance(found, str) and _NAME.fullmatch(found) else ""
