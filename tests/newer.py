"""Events of an agent newer than the functions: events come in, sealed messages that they cannot read in full go out."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib.contract.events import AboutContainer
from chalicelib.contract.signatures import seal
from tests.fakes.world import HOST_KEY

Spoiler = Callable[[dict[str, Any]], Any]

SPOILERS: dict[str, Spoiler] = {
    "another kind": lambda event: event | {"kind": "hibernated"},
    "another field": lambda event: event | {"snapshot": "s-1"},
    "a field less": lambda event: {name: value for name, value in event.items() if name != "user_id"},
    "another type": lambda event: event | {"number": "many"},
    "no kind": lambda event: {name: value for name, value in event.items() if name != "kind"},
    "no event": lambda _event: None,
}
"""How an event becomes one that cannot be read."""


def sealed_text(text: str, host_id: str = "host-1") -> str:
    """The queue's body with this text as its event, rightly signed."""

    class Newer:
        def model_dump_json(self, **_: Any) -> str:
            return text

    return seal(Newer(), host_id, HOST_KEY)  # type: ignore[arg-type]


def batch_of(events: Sequence[AboutContainer], spoilt: Mapping[int, str]) -> str:
    """The text of a batch in which the events at these places are spoilt in these ways."""
    items = [json.loads(event.model_dump_json(exclude_none=True)) for event in events]
    for place, how in spoilt.items():
        items[place] = SPOILERS[how](items[place])
    return json.dumps({"kind": "batch", "trace": "t-1", "events": items})
