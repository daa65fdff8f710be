"""Every operation of the REST API, a row each: what it takes, what it answers and how it can be refused."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.statuses import LIVE
from chalicelib.domain import errors
from chalicelib.edge.containers import LONGEST_WAIT, PAGE_LIMIT
from chalicelib.edge.files import HOME, FileShape, FolderShape
from chalicelib.edge.payloads import ChangesShape, CreateShape, ExecShape, GuestShape, TicketShape, TokenShape
from chalicelib.edge.terminals import CheckShape, TerminalShape
from infra.apidocs import answers

_STATUSES = sorted(status.value for status in LIVE)
_CREATED = {"image": "debian:bookworm", "name": "web", "memory_mb": 512}


@dataclass(frozen=True, slots=True)
class Query:
    """One member of the query string."""

    name: str
    schema: dict[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route and method. `scope` None means that no token is needed."""

    method: str
    path: str
    summary: str
    scope: str | None
    status: int
    answer: type[BaseModel] | None
    body: type[BaseModel] | None = None
    example: dict[str, Any] | None = None
    body_required: bool = True
    query: tuple[Query, ...] = ()
    refusals: tuple[type[errors.Refused], ...] = ()
    tag: str = "containers"
    media_type: str = "application/json"
    idempotent_by_key: bool = False
    takes_file: bool = False
    """Whether the body may be the file itself, or a form with it, instead of JSON."""
    headers: tuple[str, ...] = ()
    """Of the answer, beside those of every answer."""

    @property
    def id(self) -> str:
        """A name for generated clients, for example `post_containers`."""
        words = [part.strip("{}") for part in self.path.strip("/").replace(".", "_").split("/")]
        return "_".join([self.method.lower(), *words])


_ONE = (errors.NotFound,)
_POWER = (errors.NotFound, errors.StatusConflict)
_BODY = (errors.InvalidRequest, errors.BodyTooLarge, errors.UnsupportedMediaType)
_ASKED = (errors.InvalidRequest,)
_FILES = (
    *_POWER, errors.FileMissing, errors.FileDenied, errors.FileFailed, errors.HostSilent, errors.FileTimedOut,
)  # fmt: skip
_PATH = {"type": "string"}
_AS = Query(
    "user",
    {"type": "string", "enum": ["", *(user.value for user in ExecUser)]},
    "Absent: `user` where the image has such a user, else `root`.",
)
_WHICH = (Query("path", _PATH, "Absolute; required."), _AS)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/containers", "Create a container", "write", 202, answers.Accepted, CreateShape, _CREATED,
        refusals=(*_BODY, errors.LimitReached, errors.NameTaken, errors.KeyReused), idempotent_by_key=True,
    ),
    Operation(
        "GET", "/containers", "List your containers, newest first", "read", 200, answers.Listing,
        query=(
            Query("status", {"type": "string", "enum": _STATUSES}, "Only those in this status."),
            Query("limit", {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT}, "A page of so many."),
            Query("cursor", {"type": "string"}, "`next_cursor` of the page before."),
        ),
        refusals=_ASKED,
    ),
    Operation(
        "GET", "/containers/{container_id}", "Get a container, or wait for a status of it", "read", 200, answers.Item,
        query=(
            Query("wait", {"type": "string", "enum": _STATUSES}, "Hold the answer until it is so, or has ended."),
            Query("timeout", {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT}, "Seconds to wait at most."),
        ),
        refusals=(*_ASKED, *_ONE),
    ),
    Operation(
        "DELETE", "/containers/{container_id}", "Delete a container", "write", 200, answers.Deleted, refusals=_ONE
    ),
    Operation(
        "POST", "/containers/{container_id}/start", "Start a stopped container", "write", 200, answers.Switched,
        refusals=_POWER,
    ),
    Operation(
        "POST", "/containers/{container_id}/stop", "Stop a running container", "write", 200, answers.Switched,
        refusals=_POWER,
    ),
    Operation(
        "POST", "/containers/{container_id}/restart", "Restart a container", "write", 200, answers.Switched,
        refusals=_POWER,
    ),
    Operation(
        "POST", "/containers/{container_id}/exec", "Run a command in a running container and wait for it", "exec", 200,
        answers.CommandRan, ExecShape, {"command": "uname -a", "timeout_seconds": 5},
        refusals=(*_BODY, *_POWER, errors.HostSilent, errors.CommandTimedOut),
    ),
    Operation(
        "GET", "/containers/{container_id}/stats", "What a running container uses now", "read", 200, answers.Usage,
        refusals=(*_POWER, errors.HostSilent),
    ),
    Operation(
        "GET", "/containers/{container_id}/files/list", "List a folder", "exec", 200, answers.FileListing,
        query=(Query("path", _PATH, f"Absolute; `{HOME}` when absent."), _AS),
        refusals=(*_ASKED, *_FILES, errors.FileTooLarge),
    ),
    Operation(
        "GET", "/containers/{container_id}/files", "Read a file", "exec", 200, None, query=_WHICH,
        refusals=(*_ASKED, *_FILES, errors.FileTooLarge), media_type="application/octet-stream",
        headers=("X-File-Size", "X-File-Mode", "Content-Disposition"),
    ),
    Operation(
        "POST", "/containers/{container_id}/files", "Write a file", "exec", 200, answers.FileWritten, FileShape,
        {"path": "/home/user/hello.txt", "content": "aGVsbG8K"}, takes_file=True,
        query=(
            Query("path", _PATH, "With JSON none; with a form the folder; else the file."), _AS,
        ),
        refusals=(errors.InvalidRequest, errors.BodyTooLarge, *_FILES, errors.DiskFull),
    ),
    Operation(
        "POST", "/containers/{container_id}/files/mkdir", "Make a folder, and those over it", "exec", 200,
        answers.FolderMade, FolderShape, {"path": "/home/user/src"}, body_required=False,
        query=(Query("path", _PATH, "Instead of the body."), _AS), refusals=(*_BODY, *_FILES, errors.DiskFull),
    ),
    Operation(
        "DELETE", "/containers/{container_id}/files", "Remove a file, or a folder with all in it", "exec", 200,
        answers.FileRemoved, query=_WHICH, refusals=(*_ASKED, *_FILES),
    ),
    Operation(
        "POST", "/containers/{container_id}/terminal", "Get a ticket for a terminal in a running container", "exec",
        200, answers.TerminalTicket, TerminalShape, {"user": "root"}, body_required=False,
        refusals=(*_BODY, *_POWER, errors.TerminalsOff, errors.HostSilent),
    ),
    Operation(
        "POST", "/terminals/check", "For relays: whether a terminal's ticket still stands for somebody", None, 200,
        answers.TerminalChecked, CheckShape, {"ticket": "gAAAAABn…"},
        refusals=(*_BODY, errors.Unauthorized, errors.InsufficientScope, errors.NotFound),
    ),
    Operation(
        "PATCH", "/containers/{container_id}/settings", "Rename a container or give it other amounts", "write", 200,
        answers.Changed, ChangesShape, {"name": "web", "memory_mb": 1024},
        refusals=(*_BODY, *_POWER, errors.NameTaken, errors.NoRoom),
    ),
    Operation(
        "GET", "/containers/{container_id}/events", "Frames you may have missed", "read", 200, answers.EventLog,
        query=(
            Query("after", {"type": "integer", "minimum": 0, "maximum": 99_999_999}, "Only frames with a higher seq."),
        ),
        refusals=(*_ASKED, *_ONE),
    ),
    Operation(
        "POST", "/tokens", "Mint a token", "write", 201, answers.TokenMinted, TokenShape,
        {"name": "ci", "scopes": ["read", "write"], "expires_in": 30}, refusals=_BODY, tag="tokens",
    ),
    Operation("GET", "/tokens", "List your tokens", "read", 200, answers.TokenList, tag="tokens"),
    Operation(
        "DELETE", "/tokens/{token_id}", "Revoke a token", "write", 200, answers.TokenRevoked, refusals=_ONE,
        tag="tokens",
    ),
    Operation(
        "POST", "/tickets", "Buy a one-use ticket for the WebSocket", "read", 201, answers.Ticket, TicketShape,
        body_required=False, refusals=_BODY, tag="tokens",
    ),
    Operation(
        "POST", "/auth/guest", "Become a guest for an hour", None, 200, answers.Guest, GuestShape,
        {"username": "visitor"}, body_required=False, refusals=_BODY, tag="tokens",
    ),
    Operation("GET", "/images", "Images there are", "read", 200, answers.ImageCatalogue, tag="catalogue"),
    Operation("GET", "/roles", "Roles there are", "read", 200, answers.RoleCatalogue, tag="catalogue"),
    Operation("GET", "/tiers", "Tiers and what they allow", "read", 200, answers.TierCatalogue, tag="catalogue"),
    Operation("GET", "/health", "Whether the service runs", None, 200, answers.Health, tag="service"),
    Operation("GET", "/version", "Which version this is", None, 200, answers.Version, tag="service"),
    Operation("GET", "/openapi.json", "This document", None, 200, None, tag="service"),
    Operation("GET", "/asyncapi.json", "The WebSocket's frames", None, 200, None, tag="service"),
    Operation("GET", "/docs", "The API for reading", None, 200, None, tag="service", media_type="text/html"),
)  # fmt: skip
