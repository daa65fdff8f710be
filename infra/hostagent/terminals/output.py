"""What a terminal has printed and nobody has taken: bytes come in, text goes out, and no more is kept than a size."""

import codecs
from dataclasses import dataclass, field

KEPT_BYTES = 1024 * 1024
PIECE_BYTES = 4096
TRUNCATED = "\r\n[berth: output truncated]\r\n"


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


@dataclass(slots=True)
class Backlog:
    """The newest output; where the oldest had to go, a mark says so."""

    size: int = KEPT_BYTES
    _kept: bytearray = field(default_factory=bytearray)
    _dropped: bool = False
    _decoder: codecs.IncrementalDecoder = field(default_factory=_decoder)

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, piece: bytes) -> None:
        """The next piece."""
        self._kept += piece
        over = len(self._kept) - self.size
        if over > 0:
            del self._kept[:over]
            self._dropped = True

    def take(self, *, final: bool = False) -> str:
        """The oldest piece there is; after the last, with nothing more to come, what is left of a cut character."""
        if self._dropped:
            self._dropped = False
            self._decoder.reset()
            return TRUNCATED
        piece = bytes(self._kept[:PIECE_BYTES])
        del self._kept[:PIECE_BYTES]
        return self._decoder.decode(piece, final and not self._kept)
