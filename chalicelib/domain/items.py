"""What clients are shown of a container: a record and the time come in, the contract's objects go out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.contract.moments import rfc3339
from chalicelib.contract.statuses import Status

if TYPE_CHECKING:
    from chalicelib.domain.container import Container, Frame
    from chalicelib.domain.identity import Caller


def item_of(container: Container, now: datetime) -> dict[str, Any]:
    """The Item of api-contract: an allow-list of fields, absent ones left out."""
    item = _head(container) | {
        "last_used_at": rfc3339(container.last_used_at),
        "idle_seconds": max(0, int((now - container.last_used_at).total_seconds())),
        "resources": container.resources.model_dump(),
        "environment": container.environment,
        "labels": container.labels,
        "last_seq": container.seq,
    }
    return item | _known(container)


def _head(container: Container) -> dict[str, Any]:
    """What every answer about a container begins with."""
    return {
        "id": container.id,
        "db_id": container.id,
        "user_id": container.user_id,
        "name": container.name,
        "image": container.image,
        "role": container.role,
        "status": container.status.value,
        "created_at": rfc3339(container.created_at),
    }


def _known(container: Container) -> dict[str, Any]:
    """The members that are there only once they are known."""
    creating = container.status is Status.CREATING and container.stage is not None
    optional = {
        "container_id": container.engine_id,
        "image_digest": container.image_digest,
        "started_at": container.started_at and rfc3339(container.started_at),
        "expires_at": container.expires_at and rfc3339(container.expires_at),
        "session_limit_seconds": container.session_limit_seconds,
        "stage": container.stage.value if creating and container.stage else None,
        "progress": container.progress if creating else None,
        "error": container.error and container.error.model_dump(mode="json", exclude_none=True),
        "stopped_because": container.stopped_because
        and container.stopped_because.model_dump(mode="json", exclude_none=True),
    }
    return {name: value for name, value in optional.items() if value is not None}


def accepted_answer(container: Container, caller: Caller, adjusted: dict[str, Any]) -> dict[str, Any]:
    """The body of the 202."""
    answer = _head(container) | {
        "async": True,
        "message": "container is being created; follow its progress on the WebSocket or with GET",
        "resources": container.resources.model_dump(),
        "environment": container.environment,
        "labels": container.labels,
    }
    if adjusted:
        answer["adjusted"] = adjusted
    if container.expires_at is not None:
        answer["expires_at"] = rfc3339(container.expires_at)
        answer["session_limit_seconds"] = container.session_limit_seconds
    if caller.guest:
        answer["guest"] = True
    return answer


def listing(containers: list[Container], limit: int, now: datetime) -> dict[str, Any]:
    """The list as GET and the `list` frame give it."""
    return {"containers": [item_of(each, now) for each in containers], "count": len(containers), "limit": limit}


def frame_body(frame: Frame) -> dict[str, Any]:
    """One frame as it goes over the wire."""
    return {
        "type": frame.type,
        "container": frame.container,
        "seq": frame.seq,
        "timestamp": rfc3339(frame.timestamp),
    }
