"""The base of every message: JSON text comes in, a frozen, strict model goes out (or a pydantic ValidationError)."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer


class Message(BaseModel):
    """A frozen message that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Traced(Message):
    """A message that is sent on behalf of a request."""

    trace: str = ""
    """The request's id; no part of what the message means."""


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 UTC with milliseconds and a `Z`, the only time format on our wires."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""An instant with a time zone; JSON carries it as RFC 3339 UTC."""
