"""The base of every message: JSON text comes in, a frozen, strict model goes out (or a pydantic ValidationError)."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer

from chalicelib.contract.moments import rfc3339


class Message(BaseModel):
    """A frozen message that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Traced(Message):
    """A message that is sent on behalf of a request."""

    trace: str = ""
    """The request's id; no part of what the message means."""


Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""An instant with a time zone; JSON carries it as RFC 3339 UTC."""
