"""How much a layer unpacks to: its bytes come in as they pass, TooLarge goes out as soon as it is more than may be.

Counted while it is transferred, so that an engine never gets the end of a bomb and unpacks none of it.
"""

import re
import threading
import zlib
from collections.abc import Callable
from enum import Enum
from typing import IO, cast

import zstandard

from infra.hostagent.registry.errors import TooLarge, Unsupported

MOST_RATIO = 100
FREE_BYTES = 500 * 1000**2
"""A layer of more than that may not unpack to more than a hundred times its size; no tree of files does."""

WINDOW_BYTES = 32 * 1024 * 1024
"""How far back a layer may refer to itself, which is about what unpacking it takes; usual ones do 8 MiB."""

_GZIP_HEADER = 31
_STEP = 1024 * 1024
_PACKED = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00")
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_MAGIC_BYTES = 6
"""By its first bytes an engine tells what a layer is packed with, whatever it is said to be."""
_DAMAGED = "a layer of it is damaged"

Give = Callable[[int], None]
"""Hears how many bytes more there are, unpacked."""
Unpack = Callable[[bytes], None]


class Packing(Enum):
    """What layers are packed with."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZSTD = "zstd"


class Budget:
    """Bytes that the layers of one image may unpack to, together; used by several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._lock = threading.Lock()

    def spend(self, count: int) -> None:
        """Take these away. TooLarge when there are not so many left."""
        with self._lock:
            self._left -= count
            if self._left < 0:
                raise TooLarge(f"no more than {self._most / 1000**3:g} GB unpacked")


class Inflation:
    """One layer on its way; many members or frames in a row are one layer."""

    def __init__(self, budget: Budget, packing: Packing) -> None:
        self._budget = budget
        self._taken = self._given = 0
        self._unpack = _UNPACKERS[packing](self._give)

    def pass_by(self, chunk: bytes) -> None:
        """Count what this unpacks to, never holding more than a little of it. TooLarge, Unsupported."""
        self._taken += len(chunk)
        self._unpack(chunk)

    def _give(self, count: int) -> None:
        self._budget.spend(count)
        self._given += count
        if self._given > FREE_BYTES and self._given > self._taken * MOST_RATIO:
            raise TooLarge(f"a layer unpacks to more than {MOST_RATIO} times its size")


def _plain(give: Give) -> Unpack:
    head = b""

    def unpack(chunk: bytes) -> None:
        nonlocal head
        if len(head) < _MAGIC_BYTES:
            head += chunk[:_MAGIC_BYTES]
            if head.startswith(_PACKED) or _SKIPPABLE.match(head):
                raise Unsupported("a layer of it is packed though it is said to be plain")
        give(len(chunk))

    return unpack


def _gzip(give: Give) -> Unpack:
    reader = zlib.decompressobj(_GZIP_HEADER)

    def unpack(rest: bytes) -> None:
        nonlocal reader
        while rest:
            try:
                give(len(reader.decompress(rest, _STEP)))
            except zlib.error:
                raise Unsupported(_DAMAGED) from None
            rest = reader.unconsumed_tail
            if reader.eof:
                rest = reader.unused_data
                reader = zlib.decompressobj(_GZIP_HEADER)

    return unpack


def _zstd(give: Give) -> Unpack:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    writer = decompressor.stream_writer(cast("IO[bytes]", _Counted(give)), write_size=_STEP)

    def unpack(chunk: bytes) -> None:
        try:
            writer.write(chunk)
        except zstandard.ZstdError:
            window = f"or wants more than {WINDOW_BYTES // 1024**2} MiB to be unpacked"
            raise Unsupported(f"{_DAMAGED}, {window}") from None

    return unpack


class _Counted:
    """As much of a file as zstd needs to write to: it keeps nothing of what it is given, a step at a time."""

    def __init__(self, give: Give) -> None:
        self._give = give

    def write(self, piece: bytes) -> int:
        self._give(len(piece))
        return len(piece)


_UNPACKERS: dict[Packing, Callable[[Give], Unpack]] = {
    Packing.PLAIN: _plain,
    Packing.GZIP: _gzip,
    Packing.ZSTD: _zstd,
}
