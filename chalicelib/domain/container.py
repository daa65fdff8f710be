"""The container as recorded: facts come in, a frozen record goes out; changes make new records."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.causes import Cause
from chalicelib.contract.resources import NetworkMode, Resources, Shell
from chalicelib.contract.statuses import LIVE, Stage, Status
from chalicelib.domain.images import CUSTOM


class PendingPower(BaseModel):
    """A start, stop or restart that its user asked for and that no event has confirmed yet."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    verb: Verb
    action: str


class PendingResize(BaseModel):
    """Other amounts that the record grants and its host has not confirmed; `before` are those it had."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    action: str
    before: Resources


class Container(BaseModel):
    """One user's container from acceptance until its record fades, 24 h after deletion."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    id: str
    user_id: str
    tier: str
    name: str
    image: str
    """As asked for (`custom:<ref>` for a custom image)."""
    image_reference: str
    """What the engine pulls."""
    image_digest: str | None = None
    """What that was pinned to, once its host has chosen."""
    role: str = ""
    shell: Shell = Field(default_factory=Shell)
    resources: Resources
    environment: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    network_mode: NetworkMode = NetworkMode.DEFAULT
    allowed_domains: list[str] = Field(default_factory=list)

    version: int = 0
    """Rises with every write, so that no writer overwrites what it has not seen (M2)."""
    status: Status = Status.CREATING
    wanted: Status = Status.RUNNING
    """What its user asked for last; the status follows. Of one that runs or is stopped, with nothing pending, both
    are the same."""
    pending_power: PendingPower | None = None
    """What its host is being asked for; the sweeper asks again until an event confirms it (M1)."""
    pending_resize: PendingResize | None = None
    pending_rename: str | None = None
    """The action of a change of name that subscribers have not been told of."""
    stage: Stage | None = None
    stage_at: datetime | None = None
    """When it came to this stage."""
    progress: int = 0
    seq: int = 0
    """Number of the last frame; rises by one per frame."""
    change_seq: int = 0
    """Number of the first frame of the last change, for pushing it again."""
    change_id: str = ""
    """Identity of the last event applied."""
    generation: int = 1
    """Rises when the container is placed anew; older hosts' events no longer count."""
    number: int = 0
    """Number of the last host event applied in this generation."""

    host_id: str | None = None
    reserved: bool = False
    """True while the host's capacity is held for it."""
    engine_id: str | None = None

    created_at: datetime
    started_at: datetime | None = None
    last_used_at: datetime
    expires_at: datetime | None = None
    session_limit_seconds: int | None = None
    deadline: datetime
    """When the creation must have ended (invariant I1)."""
    due_at: datetime | None = None
    """When the sweeper has to look at it; None = never."""
    attempt: int = 0
    """How often the sweeper has sent its command again since it was asked for."""
    error: Cause | None = None
    stopped_because: Cause | None = None
    deleted_because: Cause | None = None
    """Why its deletion was begun; None when the host ended it by itself."""

    @property
    def custom(self) -> bool:
        """Whether the image is the user's own choice and not of the catalogue."""
        return self.image.startswith(f"{CUSTOM}:")

    @property
    def live(self) -> bool:
        """Whether it counts in the quota, holds its name and is visible."""
        return self.status in LIVE

    @property
    def pending(self) -> bool:
        """Whether something is still to be confirmed or told."""
        return self.pending_power is not None or self.pending_resize is not None or self.pending_rename is not None

    def look_at(self, moment: datetime) -> datetime:
        """When to look at it again: then, or at its expiry if that is earlier."""
        return min(moment, self.expires_at) if self.expires_at else moment


NOTHING_PENDING: Mapping[str, None] = {"pending_power": None, "pending_resize": None, "pending_rename": None}
"""The members of a record that wait for nothing more."""

RECONFIGURED = ("name", "resources", "pending_resize", "pending_rename", "due_at", "attempt")
"""The members of a record that a change of settings may change."""


class Frame(BaseModel):
    """One pushed frame as kept in the event log: `type`, `container` and `seq` as on the wire."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    type: str
    container: dict[str, object]
    seq: int
    timestamp: datetime
