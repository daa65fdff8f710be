"""WebSocket frames as models: a frame's JSON comes in, it is as published or a ValidationError goes out."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from chalicelib.contract.causes import Cause, Code
from chalicelib.contract.resources import Resources
from infra.apidocs.answers import Body, EngineId, Item, Listing, Percent, StageName, VisibleStatus


class Frame(Body):
    """Members of every frame about a container; `seq` rises by one per container."""

    seq: int = Field(ge=1)
    timestamp: datetime


class ListFrame(Body):
    """Strictly the first frame, and the answer to `{"type":"list"}`."""

    type: Literal["list"]
    container: Listing
    timestamp: datetime


class ProgressBody(Body):
    id: UUID
    db_id: UUID
    stage: StageName
    message: str
    progress: Percent
    container_id: EngineId | None = None
    complete: Literal[True] | None = Field(default=None, description="The creation is over.")
    container: Item | None = Field(default=None, description="With stage `ready`.")
    error: Cause | None = Field(default=None, description="With stage `error`.")


class ProgressFrame(Frame):
    """A creation has come this far; never backwards."""

    type: Literal["progress"]
    container: ProgressBody


class CreatedFrame(Frame):
    """The engine container exists."""

    type: Literal["created"]
    container: Item


class UpdatedBody(Body):
    id: UUID
    db_id: UUID
    status: VisibleStatus | None = None
    container_id: EngineId | None = None
    name: str | None = None
    resources: Resources | None = None
    error: Cause | None = None


class UpdatedFrame(Frame):
    """What changed: the status after a creation, settings after a change of them."""

    type: Literal["updated"]
    container: UpdatedBody


class StartedFrame(Frame):
    """It was stopped and runs again."""

    type: Literal["started"]
    container: Item


class EndedItem(Item):
    reason: Code


class StoppedFrame(Frame):
    """It ran and does no longer; `reason` and `stopped_because` say why."""

    type: Literal["stopped"]
    container: EndedItem


class DeletedBody(Body):
    id: UUID
    db_id: UUID
    name: str
    reason: Code
    cause: Cause


class DeletedFrame(Frame):
    """It is gone."""

    type: Literal["deleted"]
    container: DeletedBody


class PongFrame(Body):
    """The answer to `{"type":"ping"}`."""

    type: Literal["pong"]


class ErrorFrame(Body):
    """A frame that was not understood; the fifth in a row closes the connection."""

    type: Literal["error"]
    error: str
    code: str


class PingFrame(Body):
    """Keeps a silent connection open."""

    type: Literal["ping"]


class ListRequestFrame(Body):
    """Asks for the list again."""

    type: Literal["list"]


SERVER_FRAMES: tuple[type[Body], ...] = (
    ListFrame, ProgressFrame, CreatedFrame, UpdatedFrame, StartedFrame, StoppedFrame, DeletedFrame, PongFrame, ErrorFrame,
)  # fmt: skip
CLIENT_FRAMES: tuple[type[Body], ...] = (PingFrame, ListRequestFrame)

_Any = Annotated[
    ListFrame
    | ProgressFrame
    | CreatedFrame
    | UpdatedFrame
    | StartedFrame
    | StoppedFrame
    | DeletedFrame
    | PongFrame
    | ErrorFrame,
    Field(discriminator="type"),
]
SERVER_FRAME: TypeAdapter[Body] = TypeAdapter(_Any)
"""Any frame a server may send."""
