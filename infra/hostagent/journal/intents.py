"""What is wanted of a container and how far that is: a call and what is known come in, a new intent goes out."""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.contract.agent_api import ContainerSpec, Removal, ResizeCall
from chalicelib.contract.causes import Cause


class Step(StrEnum):
    """How far an intent is; `removing` and `removed` are for good (the tombstone)."""

    ACCEPTED = "accepted"
    CREATED = "created"
    STARTED = "started"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING_AGAIN = "starting_again"
    RESTARTING = "restarting"
    FAILED = "failed"
    REMOVING = "removing"
    REMOVED = "removed"


CREATING = (Step.ACCEPTED, Step.CREATED, Step.STARTED)
SETTLED = (Step.READY, Step.STOPPED)
SWITCHING = (Step.STOPPING, Step.STARTING_AGAIN, Step.RESTARTING)
GONE = (Step.REMOVING, Step.REMOVED)
OVER = (*GONE, Step.FAILED)
"""Nothing is or will be kept of such a container."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of one container and how far that is; times in seconds since the epoch."""

    container_id: str
    user_id: str
    generation: int
    spec: ContainerSpec | None
    step: Step
    cause: Cause | None
    engine_id: str | None
    deadline: float
    expires_at: float | None
    number: int
    changed_at: float
    action: str | None = None
    """The last starts, stops and restarts taken: see `remembered`."""
    resize: ResizeCall | None = None
    """Amounts asked for that are not in force yet; the spec has those in force."""
    resized: str | None = None
    """The actions of the last resizes taken."""
    trace: str = ""
    """The request that asked for the last change; events carry it on."""
    image: str | None = None
    """What the engine container is made from: the image asked for, or one prepared from it."""
    image_digest: str | None = None
    """What the image asked for was in its registry when it was chosen."""


ACTIONS_KEPT = 16
"""A call is good for a minute and may come late; nobody asks for more of one container in that time."""


def remembered(actions: str | None, action: str) -> str:
    """The actions taken with this one as the last, so that a late copy of an earlier one is known again."""
    return " ".join([*(actions or "").split()[1 - ACTIONS_KEPT :], action])


def taken(actions: str | None, action: str) -> bool:
    """Whether this action is among those taken lately."""
    return action in (actions or "").split()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event waiting for the queue; `identity` is the same however often it is sent."""

    row: int
    container_id: str
    identity: str
    event: str


def accepted(spec: ContainerSpec, now: float) -> Intent:
    """A container is wanted; its limits of time are counted from now."""
    return Intent(
        container_id=spec.container_id,
        user_id=spec.user_id,
        generation=spec.generation,
        spec=spec,
        step=Step.ACCEPTED,
        cause=None,
        engine_id=None,
        deadline=now + spec.create_seconds,
        expires_at=now + spec.expires_in_seconds if spec.expires_in_seconds else None,
        number=spec.number,
        changed_at=now,
        trace=spec.trace,
    )


def removing(removal: Removal, known: Intent | None, cause: Cause, now: float) -> Intent:
    """A container has to go, in this generation and every lower one."""
    return Intent(
        container_id=removal.container_id,
        user_id=removal.user_id,
        generation=removal.generation,
        spec=None,
        step=Step.REMOVING,
        cause=cause,
        engine_id=known.engine_id if known else None,
        deadline=now,
        expires_at=None,
        number=removal.number,
        changed_at=now,
        trace=removal.trace,
    )
