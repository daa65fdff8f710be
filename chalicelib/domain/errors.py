"""Everything that can go wrong, in our words. Facts come in as fields; `edge.answers` alone maps them to HTTP.

BerthError
├── Refused                      the caller can do something about it (4xx, but for what ends late or unheard inside)
│   ├── Unauthorized             401  no, broken, unknown, expired or revoked token
│   ├── InsufficientScope        403  the token may not do this
│   ├── OriginNotAllowed         403  a browser page that is not on the list
│   ├── InvalidRequest           400  a field is wrong; says which and how
│   ├── UnsupportedMediaType     415  the body is not declared as JSON
│   ├── BodyTooLarge             413  more than the limit
│   ├── FileTooLarge             413  what is to be read is more than goes out in one answer
│   ├── FileDenied               403  the container's own permissions, or a folder that every system needs
│   ├── DiskFull                 409  the container has used up its disk
│   ├── FileFailed               409  the container's programs could not do it; has what they said
│   ├── LimitReached             403  the tier's containers are all in use
│   ├── NameTaken                409  the user has a live container of that name
│   ├── StatusConflict           409  not possible in this status
│   ├── NoRoom                   409  the container's host has no room for more
│   ├── KeyReused                422  an idempotency key with another body
│   ├── NotFound                 404  not there, or not the caller's
│   ├── TerminalsOff             404  the deployment has no relay for terminals
│   ├── FileMissing              404  the container has no such file or folder
│   ├── RateLimited              429  too often; says when to come back
│   ├── HostSilent               503  the container's host gave no answer: whether it was done is not known
│   ├── CommandTimedOut          504  the command was killed when its time was over; has what it printed
│   └── FileTimedOut             504  the container's programs took too long; nothing is half written
├── Busy                         503  the store refused after bounded retries; nothing was written
└── Internal                     between our own parts; never reaches a client as such
    ├── StaleWrite               the record has moved on since it was read
    ├── HostFull                 the host's reservation was refused
    ├── NoCapacity               no host can take the container now
    │   └── NoLimits             of those with room, none can hold it to its disk
    ├── AgentRefused             the host said no for certain
    ├── AgentUnreachable         the host's answer is not known
    ├── RetryLater               the message is not done with; says when to deliver it again
    ├── ConnectionGone           the WebSocket connection is closed
    ├── ConnectionStuck          the push was throttled or too slow; the connection may live
    ├── UnreadableEvent          the message holds an event that cannot be read here
    └── UntrustedEvent           not by whom it says
"""

from collections.abc import Mapping
from typing import Any


class BerthError(Exception):
    """Root of the tree."""


class Refused(BerthError):
    """A request that cannot be granted. `error` and `code` go to the client as they are, with `extra`."""

    code = "refused"

    def __init__(self, error: str, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.extra: Mapping[str, Any] = extra


class Unauthorized(Refused):
    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("unauthorized")


class InsufficientScope(Refused):
    code = "insufficient_scope"

    def __init__(self, required: str) -> None:
        super().__init__("insufficient scope", required=required)


class OriginNotAllowed(Refused):
    code = "origin_not_allowed"

    def __init__(self) -> None:
        super().__init__("origin not allowed")


class InvalidRequest(Refused):
    """`field` names the member at fault; further facts (lists of what is supported) ride along."""

    code = "invalid_request"

    def __init__(self, error: str, field: str | None = None, **extra: Any) -> None:
        super().__init__(error, **({"field": field} if field else {}), **extra)


class UnsupportedMediaType(Refused):
    code = "unsupported_media_type"

    def __init__(self, allowed: str = "application/json") -> None:
        super().__init__(
            "unsupported media type", message=f"send the body with Content-Type: {allowed}", supported=[allowed]
        )


class BodyTooLarge(Refused):
    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("request body too large", limit_bytes=limit_bytes)


class LimitReached(Refused):
    code = "container_limit_reached"

    def __init__(self, current: int, limit: int, tier: str) -> None:
        message = f"your {tier} tier allows {limit} containers: delete one, or move to a larger tier"
        super().__init__("container limit reached", current=current, limit=limit, tier=tier, message=message)


class NameTaken(Refused):
    code = "name_taken"

    def __init__(self, name: str) -> None:
        super().__init__("container with this name already exists", name=name)


class StatusConflict(Refused):
    code = "status_conflict"

    def __init__(self, error: str, status: str) -> None:
        super().__init__(error, status=status)


class NoRoom(Refused):
    code = "no_room"

    def __init__(self) -> None:
        message = "ask for less, or create a container with these amounts: it will be placed where there is room"
        super().__init__("no room for these amounts on the container's host", message=message)


class KeyReused(Refused):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("idempotency key reused with a different request")


class NotFound(Refused):
    code = "not_found"

    def __init__(self, error: str = "not found") -> None:
        super().__init__(error)


class RateLimited(Refused):
    """`retry_after` in whole seconds, at least 1."""

    code = "rate_limited"

    def __init__(self, retry_after: int, error: str = "rate limit exceeded") -> None:
        super().__init__(error, retry_after=retry_after)
        self.retry_after = retry_after


class TerminalsOff(Refused):
    code = "terminals_off"

    def __init__(self) -> None:
        message = "run commands by POST /containers/{id}/exec, or ask who runs it for terminals"
        super().__init__("this deployment serves no terminals", message=message)


class FileMissing(Refused):
    code = "file_not_found"

    def __init__(self, path: str) -> None:
        super().__init__("file not found", path=path)


class FileDenied(Refused):
    code = "file_denied"

    def __init__(self, path: str, message: str) -> None:
        super().__init__("permission denied", path=path, message=message)


class FileTooLarge(Refused):
    """`limit_bytes` of what goes out in one answer, and how many there are."""

    code = "file_too_large"

    def __init__(self, path: str, limit_bytes: int, size: int | None, message: str) -> None:
        facts = {"limit_bytes": limit_bytes} | ({} if size is None else {"size": size})
        super().__init__("too large for one answer", path=path, message=message, **facts)


class DiskFull(Refused):
    code = "disk_full"

    def __init__(self) -> None:
        message = "remove something, or create a container with a larger disk_mb"
        super().__init__("no space left in the container", message=message)


class FileFailed(Refused):
    """`said` is by programs of the container."""

    code = "file_failed"

    def __init__(self, path: str, said: str) -> None:
        super().__init__("the container could not do it", path=path, said=said)


class FileTimedOut(Refused):
    code = "file_timed_out"

    def __init__(self, seconds: float) -> None:
        message = "a busy container takes longer: send it again, or run a command that goes on by itself"
        super().__init__("the container took too long", timeout_s=seconds, message=message)


class HostSilent(Refused):
    """Nobody knows whether it was done, so it is not done again."""

    code = "host_silent"

    def __init__(self, what: str = "the command may have run") -> None:
        message = f"{what}: look before you send it again"
        super().__init__("the container's host gave no answer", message=message)


class CommandTimedOut(Refused):
    """`printed` is what came until then, as in an answer in time."""

    code = "command_timed_out"

    def __init__(self, seconds: float, printed: Mapping[str, Any]) -> None:
        super().__init__("exec timed out", timeout_s=seconds, **printed)


class Busy(BerthError):
    """The store refused after bounded retries; nothing was written and the request may be sent again."""


class Internal(BerthError):
    """Between our own parts."""


class StaleWrite(Internal):
    """The record is no longer as it was read, or no longer allows this."""


class HostFull(Internal):
    """The host has no room left, is draining, or its lease has ended."""


class NoCapacity(Internal):
    """No host can take the container now; later one may."""


class NoLimits(NoCapacity):
    """There is room, but on no host that can hold the container to its disk."""


class AgentRefused(Internal):
    """The host said for certain that it has done and will do nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AgentUnreachable(Internal):
    """The call may or may not have been received: only the same host may be asked again."""


class RetryLater(Internal):
    """The message has to be delivered again, `seconds` from now (None = as the queue thinks fit)."""

    def __init__(self, reason: str, seconds: int | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class ConnectionGone(Internal):
    """The connection is closed for good."""


class ConnectionStuck(Internal):
    """The connection could not be written to this time."""


class UnreadableEvent(Internal):
    """What could be read of the message was applied; the rest is for the dead letters, and so is the message."""


class UntrustedEvent(Internal):
    """The event's signature, host or generation does not fit."""
