"""What clients are answered, as models: a JSON body comes in, it is as published or a ValidationError goes out.

The functions do not import these: they build answers from records (`chalicelib.domain.items`); tests hold the two together.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from chalicelib.contract.causes import Cause
from chalicelib.contract.resources import Resources

VisibleStatus = Literal["creating", "running", "stopped", "error"]
StageName = Literal["validating", "pulling", "creating", "starting", "configuring", "ready", "error"]
Percent = Annotated[int, Field(ge=0, le=100)]
EngineId = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The engine's id, once it is known.")]


class Body(BaseModel):
    """An answer's body; tests refuse members that are not published here."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Every error: `error` for people, `code` for programs, and what else helps."""

    model_config = ConfigDict(extra="allow")

    error: str
    code: str
    message: str | None = Field(default=None, description="What to do about it.")
    field: str | None = Field(default=None, description="The member at fault.")
    details: list[dict[str, str]] | None = Field(default=None, description="All members at fault.")
    retry_after: int | None = Field(default=None, description="Seconds, as in the header Retry-After.")


class Item(Body):
    """A container as its owner sees it."""

    id: UUID
    db_id: UUID = Field(description="The same as `id`.")
    user_id: str
    name: str
    image: str = Field(description="As asked for; `custom:<reference>` for a custom image.")
    role: str = Field(description="Empty for none.")
    status: VisibleStatus
    created_at: datetime
    last_used_at: datetime
    idle_seconds: int = Field(ge=0)
    resources: Resources
    environment: dict[str, str]
    labels: dict[str, str]
    last_seq: int = Field(ge=0, description="Number of its last frame; ask for later ones with `GET …/events?after=`.")
    container_id: EngineId | None = None
    image_digest: str | None = Field(
        default=None,
        pattern="^sha256:[0-9a-f]{64}$",
        description="What its tag meant in the registry when it was made.",
    )
    started_at: datetime | None = None
    expires_at: datetime | None = None
    session_limit_seconds: int | None = None
    stage: StageName | None = Field(default=None, description="While it is being created.")
    progress: Percent | None = None
    error: Cause | None = None
    stopped_because: Cause | None = None


class Granted(Body):
    """An amount that was outside the tier's range."""

    requested: int
    granted: int


class Accepted(Body):
    """The 202: the container as accepted."""

    id: UUID
    db_id: UUID
    user_id: str
    name: str
    image: str
    role: str
    status: Literal["creating"]
    created_at: datetime
    is_async: Literal[True] = Field(alias="async")
    message: str
    resources: Resources
    environment: dict[str, str]
    labels: dict[str, str]
    adjusted: dict[Literal["memory_mb", "cpu_shares", "disk_mb"], Granted] | None = None
    expires_at: datetime | None = None
    session_limit_seconds: int | None = None
    guest: Literal[True] | None = None


class Listing(Body):
    """A user's containers, newest first."""

    containers: list[Item]
    count: int
    limit: int = Field(description="How many the user's tier allows.")
    next_cursor: str | None = None


class Deleted(Body):
    """It is gone: from now on it is a 404."""

    message: str
    id: UUID
    db_id: UUID
    name: str


class Switched(Body):
    """The status it is being moved to; the event follows."""

    message: str
    id: UUID
    name: str
    status: Literal["running", "stopped"]


class CommandRan(Body):
    """What the command printed, as text in UTF-8 of 1 MiB at most, and how it ended."""

    stdout: str
    stderr: str
    output: str = Field(description="Both, as they came.")
    exit_code: int
    exit_code_again: int = Field(alias="exitCode", description="The same as `exit_code`.")
    duration_ms: int = Field(ge=0)
    truncated: bool = Field(description="Whether it printed more than this.")


class Changed(Body):
    """The container as it will be; a frame follows when its host has confirmed other amounts."""

    message: str
    restarted: Literal[False]
    container: Item
    adjusted: dict[Literal["memory_mb", "cpu_shares"], Granted] | None = None


class LoggedFrame(Body):
    """One frame as it was pushed."""

    type: Literal["progress", "created", "updated", "started", "stopped", "deleted"]
    container: dict[str, Any]
    seq: int = Field(ge=1)
    timestamp: datetime


class EventLog(Body):
    """Everything a subscriber may have missed, in order."""

    events: list[LoggedFrame]
    last_seq: int


class TokenShown(Body):
    """A token without its secret."""

    id: UUID
    name: str
    token_prefix: str
    scopes: list[Literal["read", "write", "exec", "admin"]]
    created_at: datetime
    expires_at: datetime | None = None


class TokenMinted(TokenShown):
    """A token with its secret, which is shown this once."""

    token: str
    message: str


class TokenList(Body):
    """The caller's tokens."""

    tokens: list[TokenShown]
    count: int


class TokenRevoked(Body):
    """Refused within 30 s; connections opened with it are closed."""

    message: str
    id: UUID


class Ticket(Body):
    """Good for one WebSocket connection, for 30 seconds."""

    ticket: str
    expires_in: int
    expires_at: datetime


class Usage(Body):
    """What a running container uses: bytes, where nothing else is said."""

    id: UUID
    container_id: EngineId
    at: datetime
    cpu_percent: float = Field(ge=0, description="Of the last quarter of a second; 100 is one core.")
    memory: int = Field(ge=0, description="Without files that are kept in it only as long as nobody needs it.")
    memory_limit: int
    disk_usage: int | None = Field(default=None, ge=0, description="Absent where the host cannot tell.")
    disk_limit: int
    disk_read: int = Field(ge=0, description="Since its start, as what follows.")
    disk_write: int = Field(ge=0)
    net_rx: int = Field(ge=0)
    net_tx: int = Field(ge=0)


class TerminalTicket(Body):
    """Good for one connection to the terminal's WebSocket, for 60 seconds."""

    message: str
    id: UUID
    url: str = Field(description="Of the WebSocket, with the ticket in it.")
    ticket: str
    expires_in: int
    expires_at: datetime


class TerminalChecked(Body):
    """The token that the ticket was given for is good, and the container is there."""

    message: str
    id: UUID


class GuestUser(Body):
    """Who the guest is."""

    id: UUID
    username: str
    tier: Literal["guest"]


class Guest(Body):
    """A guest with an hour's token."""

    token: str
    user: GuestUser
    guest: Literal[True]
    expires_in: int


class ImageRow(Body):
    """An image that can be asked for."""

    name: str
    aliases: list[str]
    display_name: str
    family: str | None = None
    registries: list[str] | None = Field(default=None, description="Where custom images may come from.")


class ImageCatalogue(Body):
    images: list[ImageRow]
    count: int


class RoleRow(Body):
    """A set of tools that a container can be prepared with."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    description: str
    packages: list[str]


class RoleCatalogue(Body):
    roles: list[RoleRow]
    count: int


class Amount(Body):
    """The default, and the least and most that can be asked for."""

    default: int
    least: int
    most: int


class TierRow(Body):
    """What a user's tier allows; without `session_seconds` there is no limit."""

    id: str
    title: str
    containers: int
    session_seconds: int | None = None
    memory_mb: Amount
    cpu_shares: Amount
    disk_mb: Amount


class TierCatalogue(Body):
    tiers: list[TierRow]
    count: int


class FileRow(Body):
    """A file or folder as the container tells of it."""

    name: str
    path: str
    size: int
    mode: str = Field(description="As `ls` writes it.")
    mod_time: datetime
    is_dir: bool


class FileListing(Body):
    path: str
    files: list[FileRow]
    count: int


class FileWritten(Body):
    message: str
    filename: str
    path: str
    size: int


class FolderMade(Body):
    message: str
    path: str


class FileRemoved(Body):
    message: str
    path: str


class Health(Body):
    status: Literal["ok"]


class Version(Body):
    name: Literal["berth"]
    version: str
