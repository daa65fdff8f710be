"""Commands, api → provision: a JSON body of `commands.fifo` comes in, a typed command goes out."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from chalicelib.contract.model import Message


class Create(Message):
    """Place this container on a host and have it made there."""

    kind: Literal["create"] = "create"
    container_id: str
    user_id: str
    generation: int = 1


class Delete(Message):
    """Have this container removed from its host, wherever its creation stands."""

    kind: Literal["delete"] = "delete"
    container_id: str
    user_id: str


Command = Annotated[Create | Delete, Field(discriminator="kind")]

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def parse_command(body: str) -> Command:
    """The command in a queue body, or pydantic's ValidationError."""
    return _COMMAND.validate_json(body)
