"""Statuses and stages of a container: a status comes in, the statuses that may follow it go out (design §4)."""

from enum import StrEnum


class Status(StrEnum):
    """What a record says of its container; the last two are internal and never reach a client."""

    CREATING = "creating"
    RUNNING = "running"
    STOPPED = "stopped"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


FOLLOWS: dict[Status, frozenset[Status]] = {
    Status.CREATING: frozenset({Status.RUNNING, Status.STOPPED, Status.ERROR, Status.DELETING, Status.DELETED}),
    Status.RUNNING: frozenset({Status.STOPPED, Status.ERROR, Status.DELETING, Status.DELETED}),
    Status.STOPPED: frozenset({Status.RUNNING, Status.ERROR, Status.DELETING, Status.DELETED}),
    Status.ERROR: frozenset({Status.DELETING, Status.DELETED}),
    Status.DELETING: frozenset({Status.DELETED}),
    Status.DELETED: frozenset(),
}
"""What may follow what. Nothing follows `deleted`, and only `deleted` follows `deleting`: delete wins."""

LIVE = frozenset({Status.CREATING, Status.RUNNING, Status.STOPPED, Status.ERROR})
"""Statuses that count in the quota, hold their name and are visible through the API."""


class Stage(StrEnum):
    """The steps of a creation, in order; `error` ends one that failed."""

    VALIDATING = "validating"
    PULLING = "pulling"
    CREATING = "creating"
    STARTING = "starting"
    CONFIGURING = "configuring"
    READY = "ready"
    ERROR = "error"


PROGRESS: dict[Stage, int] = {
    Stage.VALIDATING: 10,
    Stage.PULLING: 15,
    Stage.CREATING: 65,
    Stage.STARTING: 75,
    Stage.CONFIGURING: 90,
    Stage.READY: 100,
    Stage.ERROR: 0,
}
"""Per cent at the beginning of each stage; pulling runs from 15 to `PULLED` by bytes."""

PULLED = 60
"""Per cent when the last byte of the image is there."""
