"""The agent's HTTP interface: what the control plane sends to a host and what the host answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from chalicelib.contract.model import Message, Traced
from chalicelib.contract.resources import NetworkMode, Resources, Shell


class ContainerSpec(Traced):
    """Body of `PUT /v1/containers/{id}`: all a host needs to make a container, and no more."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    name: str
    image: str
    """Full image reference for the engine, for example `debian:bookworm`."""
    role: str = ""
    shell: Shell = Field(default_factory=Shell)
    resources: Resources
    environment: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    network_mode: NetworkMode = NetworkMode.DEFAULT
    allowed_domains: list[str] = Field(default_factory=list)
    runtime: str | None = None
    """The engine's runtime, one of those that the host reports; None = the host's default."""
    create_seconds: float = Field(gt=0)
    """Seconds left until the creation must have ended, counted from the receipt of the call."""
    expires_in_seconds: float | None = Field(default=None, gt=0)
    """Seconds the container may live, counted from the receipt of the call; None = no limit."""
    number: int = Field(default=0, ge=0)
    """Number of the last event the control plane has of this generation; a host that forgot it numbers on from here."""
    disk_limited: bool = True
    """A host that cannot hold it to its disk is to refuse it."""


class Removal(Traced):
    """Body of `DELETE /v1/containers/{id}`: remove it and remember that it is gone."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    """The record's generation; the host removes this one and every lower one."""
    number: int = Field(default=0, ge=0)
    """Number of the last event the control plane has of this generation; a host that forgot it numbers on from here."""


class Verb(StrEnum):
    """What can be done to a container that exists."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class PowerCall(Traced):
    """Body of `POST /v1/containers/{id}/power`: the same action again changes nothing."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    verb: Verb
    action: str


class ResizeCall(Traced):
    """Body of `POST /v1/containers/{id}/resize`: give it these amounts, live; the same action again changes nothing."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    resources: Resources
    action: str


class ExecUser(StrEnum):
    """As whom a command runs."""

    USER = "user"
    ROOT = "root"


Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Runtimes differ in what they make of a NUL: some end the text there."""


class InsideCall(Traced):
    """What every call says that has something done inside a running container while somebody waits."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    user: ExecUser | None = None
    """None: `user` where the image has such a user, else root."""
    timeout_seconds: float = Field(gt=0)
    """Seconds from the receipt of the call until it is given up, and what runs of it is killed."""


class ExecCall(InsideCall):
    """Body of `POST /v1/containers/{id}/exec`: run this now and answer what it printed; never sent twice."""

    command: list[Text] = Field(min_length=1)
    workdir: Text | None = None
    environment: dict[Text, Text] = Field(default_factory=dict)


class Ran(Message):
    """Answer 200 to an ExecCall: what was printed, in any case valid text and of limited size."""

    stdout: str
    stderr: str
    output: str
    """Both, as they came."""
    exit_code: int
    """-1 when it was killed because its time was over."""
    duration_ms: int = Field(ge=0)
    truncated: bool
    timed_out: bool


class UsageCall(Traced):
    """Body of `POST /v1/containers/{id}/stats`: say what the running container uses; it changes nothing."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)


class Used(Message):
    """Answer 200 to a UsageCall: bytes where nothing else is said; the last two pairs since the container's start."""

    cpu_percent: float = Field(ge=0)
    """In the moment; 100 is one core."""
    memory: int
    memory_limit: int
    disk_usage: int | None = None
    """None where the host cannot tell."""
    disk_limit: int
    disk_read: int
    disk_write: int
    net_rx: int
    net_tx: int


FILE_BYTES = 4 * 1024 * 1024
"""The largest file that goes in or out in one call (api-contract)."""


class FileDeed(StrEnum):
    """What is done with a file or folder in a container."""

    LIST = "list"
    READ = "read"
    WRITE = "write"
    MAKE_FOLDER = "make_folder"
    REMOVE = "remove"


_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class FileCall(InsideCall):
    """Body of `POST /v1/containers/{id}/files`: do this with a file inside and answer; never sent twice."""

    model_config = _BYTES

    deed: FileDeed
    path: str
    """Absolute; what it leads to is for the container's own kernel view to say."""
    content: bytes = b""
    """What is to be written."""


class FileFault(StrEnum):
    """Why a deed was not done."""

    MISSING = "missing"
    IS_FOLDER = "is_folder"
    NO_FOLDER = "no_folder"
    NOT_A_FILE = "not_a_file"
    """A device, a pipe, a socket."""
    DENIED = "denied"
    KEPT = "kept"
    """A folder that every system needs."""
    TOO_LARGE = "too_large"
    DISK_FULL = "disk_full"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    """Anything else; `said` tells."""


class FileEntry(Message):
    """A file or folder as the container's kernel tells of it."""

    name: str
    size: int
    mode: int
    """`st_mode`: kind and permissions."""
    modified: int
    """Seconds since the epoch."""


class Filed(Message):
    """Answer 200 to a FileCall: what was found, or why nothing was done."""

    model_config = _BYTES

    fault: FileFault | None = None
    said: str = ""
    """Last words of the program that failed: by whatever the image holds, never more than a hint."""
    entry: FileEntry | None = None
    """Of what the path leads to; None of what was removed."""
    entries: list[FileEntry] = Field(default_factory=list)
    """What is in the folder that was listed."""
    content: bytes = b""
    """What the file holds that was read."""


class Accepted(Message):
    """Answer 202: the host has journalled the intent and will report by events."""

    container_id: str
    generation: int


class RefusalCode(StrEnum):
    """Why a host said no for certain, so that the container may be placed elsewhere."""

    DRAINING = "draining"
    FULL = "full"
    ENGINE_DOWN = "engine_down"
    TOMBSTONE = "tombstone"
    STALE_GENERATION = "stale_generation"
    UNKNOWN = "unknown"
    DISK_UNLIMITED = "disk_unlimited"
    BUSY = "busy"


class Refusal(Message):
    """Answer 409 (tombstone, stale_generation, unknown) or 503: nothing was or will be done for this call."""

    error: str
    code: RefusalCode


class Held(Message):
    """One of our engine containers as the host finds it, and what the host's journal knows of its container."""

    container_id: str
    user_id: str = ""
    generation: int
    running: bool
    age_seconds: float
    step: str | None = None
    """The journal's step for this generation; None when the journal does not know it."""


class Holdings(Message):
    """Answer to `GET /v1/containers`: everything on the engine that carries the host's label, found just now."""

    host_id: str
    containers: list[Held]


class HostReport(Message):
    """What a host says of itself in every heartbeat: totals it offers, never what is in use by whom."""

    endpoint: str
    memory_mb: int
    cpu_shares: int
    disk_mb: int
    disk_limited: bool = False
    """True when a container here cannot write more than it was granted."""
    max_containers: int
    images: list[str] = Field(default_factory=list)
    runtimes: list[str] = Field(default_factory=list)
    """What its engine can run containers with, by the engine's names."""
    engine_version: str
    kernel_version: str
    agent_version: str
    development: bool
    """True when the engine is below the version floor and the operator said `--dev`."""
    draining: bool = False
    engine_up: bool = True
    containers: int = 0
