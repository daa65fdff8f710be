"""Events of an agent newer than the functions: events come in, sealed messages that they cannot read in full go out."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib.contract.events import AboutContainer, Created, Progress, Ready
from chalicelib.contract.signatures import seal_text
from chalicelib.contract.statuses import Stage
from chalicelib.domain.container import Container
from tests.builders import NOW, about
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
    return seal_text(text, host_id, HOST_KEY)


def creation(container: Container) -> list[AboutContainer]:
    """What a host tells of a start, from the first stage to the last."""
    return [
        Progress(**about(container, 1), stage=Stage.PULLING, progress=30, message="m"),
        Created(**about(container, 2), engine_id="e" * 64),
        Progress(**about(container, 3), stage=Stage.STARTING, progress=75, message="m"),
        Ready(**about(container, 4), engine_id="e" * 64, started_at=NOW),
    ]


def batch_of(events: Sequence[AboutContainer], spoilt: Mapping[int, str]) -> str:
    """The text of a batch in which the events at these places are spoilt in these ways."""
    items = [json.loads(event.model_dump_json(exclude_none=True)) for event in events]
    for place, how in spoilt.items():
        items[place] = SPOILERS[how](items[place])
    return json.dumps({"kind": "batch", "trace": "t-1", "events": items})
