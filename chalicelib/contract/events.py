"""Events, agent and control plane → status: a JSON body of `events.fifo` comes in, a typed event goes out."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from chalicelib.contract.agent_api import Held, HostReport
from chalicelib.contract.causes import Cause
from chalicelib.contract.model import Message, Moment, Traced
from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Stage

ImageDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
"""What an image was in its registry."""


class ContainerEvent(Traced):
    """What every event about a container carries.

    `number` counts a host's events of one (container, generation) from 1 without gaps; the control plane,
    which does not number, says 0 and relies on the legality of the transition.
    """

    container_id: str
    user_id: str
    generation: int
    number: int = Field(ge=0)
    at: Moment


class Progress(ContainerEvent):
    """A creation has come this far; `message` is for people."""

    kind: Literal["progress"] = "progress"
    stage: Stage
    progress: int = Field(ge=0, le=100)
    message: str


class Created(ContainerEvent):
    """The engine container exists."""

    kind: Literal["created"] = "created"
    engine_id: str
    image_digest: ImageDigest | None = None
    """What its image was in its registry; None for one that came from none."""


class Ready(ContainerEvent):
    """The container is started, configured and usable."""

    kind: Literal["ready"] = "ready"
    engine_id: str
    started_at: Moment


class Passed(Message):
    """A stage that is over, in words for people."""

    stage: Stage
    progress: int = Field(ge=0, le=100)
    message: str


class Claimed(ContainerEvent):
    """A container that was made ahead is this one now, and usable: every stage of its creation is told with it."""

    kind: Literal["claimed"] = "claimed"
    engine_id: str
    image_digest: ImageDigest | None = None
    started_at: Moment
    passed: list[Passed]


class Failed(ContainerEvent):
    """The creation is over without a container; nothing of it is left on the host."""

    kind: Literal["failed"] = "failed"
    cause: Cause


class Stopped(ContainerEvent):
    """The container was running and is no longer; it still exists on its host."""

    kind: Literal["stopped"] = "stopped"
    cause: Cause


class Started(ContainerEvent):
    """The container was stopped and runs again."""

    kind: Literal["started"] = "started"
    started_at: Moment


class Abandoned(ContainerEvent):
    """What was asked of the container's host was asked often enough; the control plane asks no more."""

    kind: Literal["abandoned"] = "abandoned"
    action: str
    cause: Cause


class Resized(ContainerEvent):
    """The container now has these amounts; with a cause when they are not those asked for."""

    kind: Literal["resized"] = "resized"
    action: str
    resources: Resources
    cause: Cause | None = None


class Renamed(ContainerEvent):
    """The container's name was changed (only the control plane says so); the name is in the record."""

    kind: Literal["renamed"] = "renamed"
    action: str


class Removed(ContainerEvent):
    """Nothing of the container is left on the host (or it never had a host)."""

    kind: Literal["removed"] = "removed"
    cause: Cause


class Heartbeat(Traced):
    """A host is alive; the receiver stamps the time."""

    kind: Literal["heartbeat"] = "heartbeat"
    host_id: str
    report: HostReport


class Inventory(Traced):
    """What a host holds that is older than its grace; the control plane answers for each that it does not want (M9)."""

    kind: Literal["inventory"] = "inventory"
    host_id: str
    containers: list[Held]


class ListRequested(Traced):
    """A connection has been opened and waits for its first frame, the list (only the control plane says so)."""

    kind: Literal["list_requested"] = "list_requested"
    connection_id: str
    user_id: str


AboutContainer = (
    Progress | Created | Ready | Claimed | Failed | Stopped | Started | Abandoned | Resized | Renamed | Removed
)
OneInABatch = Annotated[AboutContainer, Field(discriminator="kind")]

LARGEST_BATCH = 20
"""Events in one batch; each is two frames at most, and one write takes a hundred rows."""


class Batch(Traced):
    """Events of one container that wait at the same time, in their order: one message, read and written once."""

    kind: Literal["batch"] = "batch"
    events: Annotated[list[OneInABatch], Field(min_length=2, max_length=LARGEST_BATCH)]

    @property
    def container_id(self) -> str:
        """Which container it is about."""
        return self.events[0].container_id

    @model_validator(mode="after")
    def _about_one(self) -> "Batch":
        if len({(each.user_id, each.container_id) for each in self.events}) != 1:
            raise ValueError("a batch is about one container")
        return self


SingleEvent = AboutContainer | Heartbeat | Inventory | ListRequested
Event = Annotated[SingleEvent | Batch, Field(discriminator="kind")]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event, config=ConfigDict(defer_build=True))


def parse_event(text: str) -> Event:
    """The event in a verified envelope, or pydantic's ValidationError."""
    return _EVENT.validate_json(text)
