"""Files in containers: a caller and a path come in, what is there goes out, or a refusal in the container's words."""

import logging
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib.contract.agent_api import FILE_BYTES, ExecUser, FileCall, Filed, FileDeed, FileEntry, FileFault
from chalicelib.contract.moments import rfc3339
from chalicelib.domain.container import Container
from chalicelib.domain.errors import (
    DiskFull,
    FileDenied,
    FileFailed,
    FileMissing,
    FileTimedOut,
    FileTooLarge,
    InvalidRequest,
    Refused,
)
from chalicelib.domain.identity import Caller
from chalicelib.services.attended import Attended

log = logging.getLogger("berth.files")

SECONDS = 20.0
"""For programs inside to do it; an answer of API Gateway has to be there after 29."""

_UNHEARD = "it may have been done"


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Which file, and as whom."""

    path: str
    user: ExecUser | None = None
    content: bytes = b""
    """What is to be written."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file that was read."""

    entry: FileEntry
    content: bytes


@dataclass(frozen=True, slots=True)
class Files:
    """Deeds with files, each done once; NotFound, StatusConflict, RateLimited, HostSilent, or what `_refusal` says."""

    attended: Attended

    def list(self, caller: Caller, reference: str, request: FileRequest) -> dict[str, Any]:
        """What is in the folder."""
        filed = self._do(FileDeed.LIST, caller, reference, request)
        rows = [_row(each, request.path) for each in filed.entries]
        return {"path": request.path, "files": rows, "count": len(rows)}

    def read(self, caller: Caller, reference: str, request: FileRequest) -> Content:
        """All of the file."""
        filed = self._do(FileDeed.READ, caller, reference, request)
        return Content(_told(filed, request), filed.content)

    def write(self, caller: Caller, reference: str, request: FileRequest) -> dict[str, Any]:
        """The file is as given, or as it was."""
        entry = _told(self._do(FileDeed.WRITE, caller, reference, request), request)
        return {"message": "file written", "filename": entry.name, "path": request.path, "size": entry.size}

    def make_folder(self, caller: Caller, reference: str, request: FileRequest) -> dict[str, Any]:
        """The folder is there, with those over it."""
        self._do(FileDeed.MAKE_FOLDER, caller, reference, request)
        return {"message": "directory created", "path": request.path}

    def remove(self, caller: Caller, reference: str, request: FileRequest) -> dict[str, Any]:
        """It is gone, with all that was in it."""
        self._do(FileDeed.REMOVE, caller, reference, request)
        return {"message": "removed", "path": request.path}

    def _do(self, deed: FileDeed, caller: Caller, reference: str, request: FileRequest) -> Filed:
        container = self.attended.running(caller, reference)
        call = _call(deed, container, request)
        filed = self.attended.ask(container, lambda runner, host: runner.file(host, call), _UNHEARD)
        facts = {"deed": deed, "fault": filed.fault or "", "size": len(request.content) + len(filed.content)}
        log.info("file call answered", extra={"container": container.id, "user": caller.user_id, **facts})
        if filed.fault is not None:
            raise _refusal(filed.fault, filed, request)
        return filed


def _call(deed: FileDeed, container: Container, request: FileRequest) -> FileCall:
    return FileCall(
        container_id=container.id,
        user_id=container.user_id,
        generation=container.generation,
        user=request.user,
        timeout_seconds=SECONDS,
        deed=deed,
        path=request.path,
        content=request.content,
    )


def _row(entry: FileEntry, folder: str) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": f"{folder.rstrip('/')}/{entry.name}",
        "size": entry.size,
        "mode": stat.filemode(entry.mode),
        "mod_time": _moment(entry.modified),
        "is_dir": stat.S_ISDIR(entry.mode),
    }


def _moment(seconds: int) -> str:
    """Times that no calendar has come from whoever is inside."""
    try:
        return rfc3339(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return rfc3339(datetime.fromtimestamp(0, UTC))


def _told(filed: Filed, request: FileRequest) -> FileEntry:
    if filed.entry is None:
        raise FileFailed(request.path, filed.said)
    return filed.entry


def _refusal(fault: FileFault, filed: Filed, request: FileRequest) -> Refused:
    refusals: dict[FileFault, Callable[[], Refused]] = {
        FileFault.MISSING: lambda: FileMissing(request.path),
        FileFault.IS_FOLDER: lambda: _wrong("path is a directory", "give a file's path, or list it with /files/list"),
        FileFault.NO_FOLDER: lambda: _wrong("path, or a part of it, is no directory", "look with /files/list"),
        FileFault.NOT_A_FILE: lambda: _wrong("path is no ordinary file", "devices and pipes are for commands"),
        FileFault.DENIED: lambda: FileDenied(request.path, _as_root(request)),
        FileFault.KEPT: lambda: FileDenied(request.path, "every system needs it: remove what is in it instead"),
        FileFault.TOO_LARGE: lambda: _too_large(filed, request),
        FileFault.DISK_FULL: DiskFull,
        FileFault.TIMED_OUT: lambda: FileTimedOut(SECONDS),
    }
    return refusals.get(fault, lambda: FileFailed(request.path, filed.said))()


def _wrong(error: str, message: str) -> InvalidRequest:
    return InvalidRequest(error, "path", message=message)


def _as_root(request: FileRequest) -> str:
    if request.user is ExecUser.ROOT:
        return "not even root inside may"
    return "the container's user may not: ask as root with user=root"


def _too_large(filed: Filed, request: FileRequest) -> FileTooLarge:
    entry = filed.entry
    if entry is not None and stat.S_ISDIR(entry.mode):
        return FileTooLarge(request.path, FILE_BYTES, None, "too many names: list folders below, or run ls by exec")
    message = "read it in pieces by exec, or compress it first"
    return FileTooLarge(request.path, FILE_BYTES, entry.size if entry else None, message)
