"""Views of `/containers/{id}/files`: a call comes in, a listing, a file's bytes or what was done goes out."""

from __future__ import annotations

import base64
import binascii
import stat
from typing import TYPE_CHECKING
from urllib.parse import quote

from chalicelib.contract.agent_api import FILE_BYTES
from chalicelib.domain.errors import BodyTooLarge, InvalidRequest
from chalicelib.domain.identity import Scope
from chalicelib.edge.answers import Answer
from chalicelib.edge.dialects import listing
from chalicelib.edge.payloads import PATH_BYTES, inside_user, sound
from chalicelib.edge.shapes import Shape, shaped
from chalicelib.services.files import FileRequest

if TYPE_CHECKING:
    from chalicelib.edge.containers import Api
    from chalicelib.edge.http import Call

BODY_LIMIT = FILE_BYTES + 64 * 1024
"""Bytes of a body with a file in it: in base64 it has to fit the 6 MB that a function takes."""
NAME_BYTES = 255
HOME = "/home/user"
"""What is listed when nothing is named."""


class FileShape(Shape):
    """Members of the JSON body of `POST /containers/{id}/files`."""

    path: str
    content: str
    user: str = ""


class FolderShape(Shape):
    """Members of the body of `POST /containers/{id}/files/mkdir`."""

    path: str
    user: str = ""


def list_folder(call: Call, api: Api) -> Answer:
    """`GET /containers/{id}/files/list?path=`."""
    caller = call.caller(api.tokens, Scope.EXEC)
    request = FileRequest(_path(call.query.get("path") or HOME), inside_user(call.query.get("user")))
    return listing(call, api.files().list(caller, call.path["container_id"], request), "files")


def read(call: Call, api: Api) -> Answer:
    """`GET /containers/{id}/files?path=`: the file's bytes."""
    caller = call.caller(api.tokens, Scope.EXEC)
    found = api.files().read(caller, call.path["container_id"], _asked(call))
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.entry.name, safe='')}",
        "X-File-Size": str(len(found.content)),
        "X-File-Mode": stat.filemode(found.entry.mode),
    }
    return Answer(200, found.content, headers)


def write(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/files`, with the file as a form, as JSON, or as the body itself."""
    caller = call.caller(api.tokens, Scope.EXEC)
    return Answer(200, api.files().write(caller, call.path["container_id"], _upload(call)))


def make_folder(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/files/mkdir`, with the path in the query or as JSON."""
    caller = call.caller(api.tokens, Scope.EXEC)
    request = _told(call, shaped(FolderShape, call.document())) if call.body else _asked(call)
    return Answer(200, api.files().make_folder(caller, call.path["container_id"], request))


def remove(call: Call, api: Api) -> Answer:
    """`DELETE /containers/{id}/files?path=`."""
    caller = call.caller(api.tokens, Scope.EXEC)
    return Answer(200, api.files().remove(caller, call.path["container_id"], _asked(call)))


def _asked(call: Call, path: str | None = None, content: bytes = b"") -> FileRequest:
    path = call.query.get("path") if path is None else path
    return FileRequest(_path(path), inside_user(call.query.get("user")), content)


def _told(call: Call, body: FolderShape | FileShape, content: bytes = b"") -> FileRequest:
    """What the body says counts; what the query says beside it has to be sound all the same."""
    beside = inside_user(call.query.get("user"))
    if call.query.get("path"):
        _path(call.query["path"])
    return FileRequest(_path(body.path), inside_user(body.user) or beside, content)


def _upload(call: Call) -> FileRequest:
    if len(call.body) > BODY_LIMIT:
        raise BodyTooLarge(FILE_BYTES)
    if call.media_type == "multipart/form-data":
        return _sized(_form(call))
    if call.media_type == "application/json":
        return _sized(_json(call))
    _names_a_file(call.query.get("path"))
    return _sized(_asked(call, content=call.body))


def _names_a_file(path: str | None) -> None:
    if path and path.endswith("/"):
        raise InvalidRequest("path must name a file", "path", message="a folder goes with a form (field `file`)")


def _sized(request: FileRequest) -> FileRequest:
    if len(request.content) > FILE_BYTES:
        raise BodyTooLarge(FILE_BYTES)
    return request


def _json(call: Call) -> FileRequest:
    body = shaped(FileShape, call.document(BODY_LIMIT))
    _names_a_file(body.path)
    try:
        content = base64.b64decode(body.content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("content must be base64", "content") from error
    return _told(call, body, content)


def _form(call: Call) -> FileRequest:
    """The folder is in the query, the name with the file."""
    from chalicelib.edge.forms import the_file

    given = the_file(call.headers.get("content-type", ""), call.body)
    folder = _path(call.query.get("path"))
    name = given.name
    if not name or "/" in name or name in (".", "..") or not sound(name) or len(name.encode()) > NAME_BYTES:
        raise InvalidRequest(f"the file must have a name of 1 to {NAME_BYTES} bytes without slashes", "file")
    return _asked(call, f"{folder.rstrip('/')}/{name}", given.content)


def _path(path: str | None) -> str:
    """As the container gets it: absolute, and without slashes that mean nothing."""
    if not path:
        raise InvalidRequest("path is required", "path")
    if not path.startswith("/") or not sound(path) or len(path.encode()) > PATH_BYTES - NAME_BYTES:
        raise InvalidRequest("path must be absolute and not too long", "path", allowed_bytes=PATH_BYTES - NAME_BYTES)
    return "/" + path.strip("/")
