"""Uploads from HTML forms and SDKs: a `multipart/form-data` body comes in, its one file goes out, or InvalidRequest.

A module of its own, since only such a request needs the parser.
"""

import io
from dataclasses import dataclass

from multipart import MultipartError, MultipartParser, parse_options_header

from chalicelib.domain.errors import InvalidRequest

FIELD = "file"
PARTS = 16


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file as a form has it; the name is by whoever sends it."""

    name: str
    content: bytes


def the_file(content_type: str, body: bytes) -> FormFile:
    """The part named `file`."""
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise InvalidRequest("the form has no boundary", FIELD, message="let your HTTP library set the Content-Type")
    try:
        room = len(body) + 1
        parts = MultipartParser(
            io.BytesIO(body), boundary, len(body), part_limit=PARTS, memory_limit=room, spool_limit=room
        )
        found = [FormFile(part.filename or "", part.raw) for part in parts if part.name == FIELD]
    except MultipartError as error:
        raise InvalidRequest("the form cannot be read", FIELD, message=str(error)[:200]) from error
    if len(found) != 1:
        raise InvalidRequest(f"the form must have one field named {FIELD}", FIELD)
    return found[0]
