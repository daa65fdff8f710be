"""The one table from errors to HTTP: a result or an error comes in, status, headers and JSON body go out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.domain import errors

RETRY_BUSY_SECONDS = 2

STATUS_OF: dict[type[errors.BerthError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthorized: 401,
    errors.InsufficientScope: 403,
    errors.OriginNotAllowed: 403,
    errors.LimitReached: 403,
    errors.FileDenied: 403,
    errors.NotFound: 404,
    errors.FileMissing: 404,
    errors.TerminalsOff: 404,
    errors.NameTaken: 409,
    errors.StatusConflict: 409,
    errors.NoRoom: 409,
    errors.DiskFull: 409,
    errors.FileFailed: 409,
    errors.BodyTooLarge: 413,
    errors.FileTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.KeyReused: 422,
    errors.RateLimited: 429,
    errors.Busy: 503,
    errors.HostSilent: 503,
    errors.CommandTimedOut: 504,
    errors.FileTimedOut: 504,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to an HTTP client: a JSON object or list, a published document as its text, or a file's bytes."""

    status: int
    body: dict[str, Any] | list[Any] | str | bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(error: errors.BerthError) -> Answer:
    """The answer to an error of the tree; what is between our own parts shows as a plain 500."""
    status = STATUS_OF.get(type(error))
    if isinstance(error, errors.Refused) and status is not None:
        return Answer(status, {"error": error.error, "code": error.code, **error.extra}, _headers(error))
    if status is not None:
        return busy()
    return broken()


def busy() -> Answer:
    """Nothing was written; the same request may be sent again."""
    message = f"nothing was changed; send the request again in {RETRY_BUSY_SECONDS} seconds"
    body = {"error": "service is busy", "code": "busy", "message": message, "retry_after": RETRY_BUSY_SECONDS}
    return Answer(503, body, {"Retry-After": str(RETRY_BUSY_SECONDS)})


def broken() -> Answer:
    """A fault of ours: the request id is all that leaves."""
    return Answer(500, {"error": "internal error", "code": "internal_error"})


def _headers(error: errors.Refused) -> dict[str, str]:
    if isinstance(error, errors.RateLimited):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.HostSilent):
        return {"Retry-After": str(RETRY_BUSY_SECONDS)}
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    return {}
