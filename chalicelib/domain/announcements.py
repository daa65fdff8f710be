"""What the control plane itself says of a container: a record and the time come in, an unnumbered event goes out."""

from datetime import datetime
from typing import Any

from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Abandoned, Failed, Progress, Removed, Renamed, Started, Stopped
from chalicelib.contract.statuses import PROGRESS, Stage
from chalicelib.domain import catalogue
from chalicelib.domain.container import Container

BY_USER = Cause(code=Code.USER, actor=Actor.USER, message="deleted by its user")


def validating(container: Container, now: datetime) -> Progress:
    """Its request is good and a host is being chosen."""
    stage, message = Stage.VALIDATING, "request is valid; choosing a host"
    return Progress(**_about(container, now), stage=stage, progress=PROGRESS[stage], message=message)


def overdue(container: Container, now: datetime) -> Failed:
    """Its deadline has passed: no host took it, or its host did not finish."""
    return Failed(**_about(container, now), cause=_unfinished() if container.host_id else _no_capacity(container))


def too_many_pulls(container: Container, now: datetime, wait_seconds: int) -> Failed:
    """Its image would have to be pulled, and its user had too many pulled lately."""
    minutes = -(-wait_seconds // 60)
    message = (
        "too many images were pulled for you in the last hour: "
        f"create the container again in {minutes} minute{'s' if minutes > 1 else ''}, or take an image used lately"
    )
    cause = Cause(code=Code.IMAGE_DENIED, actor=Actor.SYSTEM, message=message)
    return Failed(**_about(container, now), cause=cause)


def unlimited(container: Container, now: datetime) -> Failed:
    """No host can hold it to its disk, and the deployment allows no others."""
    message = (
        "no host here can limit what a container writes, and none is used that cannot: "
        "tell the operator of this deployment"
    )
    return Failed(**_about(container, now), cause=Cause(code=Code.NO_CAPACITY, actor=Actor.SYSTEM, message=message))


def lost_creating(container: Container, now: datetime) -> Failed:
    """Its host fell silent while it was made."""
    return Failed(**_about(container, now), cause=_host_lost())


def lost_running(container: Container, now: datetime) -> Stopped:
    """Its host fell silent while it ran."""
    return Stopped(**_about(container, now), cause=_host_lost())


def alive_after_all(container: Container, now: datetime) -> Started:
    """Its host was thought lost, but has it running."""
    return Started(**_about(container, now), started_at=container.started_at or now)


def never_placed(container: Container, now: datetime) -> Removed:
    """It was deleted before it had a host: nothing has to be removed."""
    return Removed(**_about(container, now), cause=BY_USER)


def lost_deleting(container: Container, now: datetime) -> Removed:
    """Its host fell silent while it was removed: should the host come back, its inventory brings it to mind (M9)."""
    return Removed(**_about(container, now), cause=BY_USER)


def swept_because(container: Container) -> Cause:
    """Why the sweeper deletes it: its session is over, or it has been in `error` for long enough."""
    if container.error is None:
        return Cause(code=Code.EXPIRED, actor=Actor.SYSTEM, message="its session is over")
    message = f"it was in error for too long, because {container.error.message}"
    return Cause(code=container.error.code, actor=Actor.SYSTEM, message=message)


def renamed(container: Container, action: str, now: datetime) -> Renamed:
    """Its user gave it another name."""
    return Renamed(**_about(container, now), action=action)


def abandoned(container: Container, action: str, now: datetime) -> Abandoned:
    """Its host did not confirm what it was asked for, however often."""
    message = "the container's host did not confirm it in time: the container is as it was; ask again later"
    cause = Cause(code=Code.TIMEOUT, actor=Actor.SYSTEM, message=message)
    return Abandoned(**_about(container, now), action=action, cause=cause)


def _no_capacity(container: Container) -> Cause:
    runtime = catalogue.tiers()[container.tier].runtime
    kind = f" of those with the runtime of your tier ({runtime})" if runtime else ""
    message = (
        f"no host{kind} had room for the container in time: try again in a few minutes, or ask for less memory or CPU"
    )
    return Cause(code=Code.NO_CAPACITY, actor=Actor.SYSTEM, message=message)


def _unfinished() -> Cause:
    message = "the container was not ready in time: delete it and create it again"
    return Cause(code=Code.TIMEOUT, actor=Actor.SYSTEM, message=message)


def _host_lost() -> Cause:
    message = "the container's host fell silent: create it again, or start it when the host is back"
    return Cause(code=Code.HOST_LOST, actor=Actor.SYSTEM, message=message)


def _about(container: Container, now: datetime) -> dict[str, Any]:
    return {
        "container_id": container.id,
        "user_id": container.user_id,
        "generation": container.generation,
        "number": 0,
        "at": now,
    }
