"""Frames of terminals (rexec-wire §4.2): what a client sends comes in as what it means; text goes out as frames."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.contract.agent_api import Used
from infra.hostagent.ports import Size

FRAME_BYTES = 4096
"""Clients in .NET read no more at once, and take the rest for another message."""
LARGEST = 1000
"""Columns or rows."""
USUAL = Size(80, 24)
DEFAULT_KEY = "default"
KEY_LENGTH = 64

STARTING, READY = '{"type":"shell_starting"}', '{"type":"shell_ready"}'
PING, PONG = '{"type":"ping"}', '{"type":"pong"}'

_NUMBER = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Typed:
    """What is to be typed at the terminal."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """What size the client's window has."""

    size: Size


@dataclass(frozen=True, slots=True)
class Ping:
    """The client wants to hear a pong."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The client has heard a ping."""


Frame = Typed | Resize | Ping | Pong


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for with the address."""

    key: str = DEFAULT_KEY
    """Sockets with the same key share a shell, one after the other."""
    own: bool = False
    """A shell that no other socket has or will have."""
    size: Size = USUAL
    raw: bool = False
    """Frames are just what was printed."""


def asked(query: Mapping[str, str]) -> Asked:
    """What is junk counts as not said."""
    key = query.get("id", "")
    return Asked(
        key if 0 < len(key) <= KEY_LENGTH and key.isprintable() else DEFAULT_KEY,
        query.get("newSession") == "true",
        _clamped(_number(query.get("cols", ""), USUAL.cols), _number(query.get("rows", ""), USUAL.rows)),
        query.get("raw") == "1",
    )


def _number(text: str, otherwise: int) -> int:
    return int(text) if _NUMBER.fullmatch(text) else otherwise


def _clamped(cols: int, rows: int) -> Size:
    return Size(min(max(cols, 1), LARGEST), min(max(rows, 1), LARGEST))


def read_frame(frame: str | bytes) -> Frame:
    """What a client's frame means; one that is no message of ours is typed as it stands."""
    return _message(frame) or Typed(frame if isinstance(frame, bytes) else _bytes(frame))


def _message(frame: str | bytes) -> Frame | None:
    if frame.lstrip()[:1] not in ("{", b"{"):
        return None
    try:
        said = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return _known(said) if isinstance(said, dict) else None


def _known(said: dict[str, Any]) -> Frame | None:
    match said:
        case {"type": "input", "data": str(data)}:
            return Typed(_bytes(data))
        case {"type": "resize", "cols": int(cols), "rows": int(rows)} if bool not in (type(cols), type(rows)):
            return Resize(_clamped(cols, rows))
        case {"type": "ping"}:
            return Ping()
        case {"type": "pong"}:
            return Pong()
    return None


def _bytes(text: str) -> bytes:
    """JSON can hold halves of characters, which no terminal can be given."""
    return text.encode(errors="replace")


def output_frames(text: str, *, raw: bool) -> Iterator[str]:
    """The text in frames that are small enough, none of them empty."""
    if not text:
        return
    frame = text if raw else _output(text)
    if len(frame.encode()) <= FRAME_BYTES:
        yield frame
        return
    half = len(text) // 2
    yield from output_frames(text[:half], raw=raw)
    yield from output_frames(text[half:], raw=raw)


def stats_frame(usage: Used) -> str:
    """The numbers as JSON inside JSON, as Rexec's clients read them; what is not known is left out."""
    return _framed("stats", usage.model_dump_json(exclude_none=True))


def _output(text: str) -> str:
    return _framed("output", text)


def _framed(kind: str, data: str) -> str:
    return json.dumps({"type": kind, "data": data}, ensure_ascii=False, separators=(",", ":"))
