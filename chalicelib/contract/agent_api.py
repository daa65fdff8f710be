"""The agent's HTTP interface: what the control plane sends to a host and what the host answers."""

from enum import StrEnum

from pydantic import Field

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
    """The engine's runtime, one of those that the host reports; None = the engine's default."""
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


class ExecCall(Traced):
    """Body of `POST /v1/containers/{id}/exec`: run this now and answer what it printed; never sent twice."""

    container_id: str
    user_id: str
    generation: int = Field(ge=1)
    command: list[str] = Field(min_length=1)
    user: ExecUser | None = None
    """None: `user` where the image has such a user, else root."""
    workdir: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: float = Field(gt=0)
    """Seconds from the receipt of the call until the command is killed."""


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
