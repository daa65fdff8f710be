"""Commands, api → provision: a JSON body of `commands.fifo` comes in, a typed command goes out."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.model import Traced


class Create(Traced):
    """Place this container on a host and have it made there."""

    kind: Literal["create"] = "create"
    container_id: str
    user_id: str
    generation: int = 1


class Delete(Traced):
    """Have this container removed from its host, wherever its creation stands."""

    kind: Literal["delete"] = "delete"
    container_id: str
    user_id: str


class Power(Traced):
    """Start, stop or restart this container; `action` tells one request from the next."""

    kind: Literal["power"] = "power"
    container_id: str
    user_id: str
    verb: Verb
    action: str


class Resize(Traced):
    """Give this container the amounts its record now says; `action` tells one request from the next."""

    kind: Literal["resize"] = "resize"
    container_id: str
    user_id: str
    action: str


class Rename(Traced):
    """Its name was changed: have its subscribers told; `action` tells one request from the next."""

    kind: Literal["rename"] = "rename"
    container_id: str
    user_id: str
    action: str


class Settle(Traced):
    """This host holds an engine container that may be nobody's: look at the record again, then keep or remove it (M9).

    The second of the two steps: the host proposed it, the status function found no record that wants it there.
    """

    kind: Literal["settle"] = "settle"
    container_id: str
    user_id: str
    host_id: str
    generation: int


Command = Annotated[Create | Delete | Power | Resize | Rename | Settle, Field(discriminator="kind")]

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command, config=ConfigDict(defer_build=True))


def parse_command(body: str) -> Command:
    """The command in a queue body, or pydantic's ValidationError."""
    return _COMMAND.validate_json(body)
