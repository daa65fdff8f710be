"""What a command prints, held to a size: bytes of any kind come in, valid text that fits an answer goes out.

The limit counts bytes of UTF-8, and what the text takes in a function's answer, which may have 6 MB, says everything
twice, and is JSON within JSON. What comes after it is read slowly and dropped, so that the command can end, and one
that prints without end costs little until its time is over.
"""

import codecs
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.hostagent.ports import STDERR, STDOUT

TEXT_BYTES = 1024 * 1024
ANSWER_BYTES = 3_000_000
DROPPED_PER_SECOND = 16 * 1024 * 1024
WAITED_FOR = 512 * 1024


def _decoders() -> dict[int, codecs.IncrementalDecoder]:
    return {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (STDOUT, STDERR)}


@dataclass(slots=True)
class Printed:
    """Both outputs of one command."""

    sleep: Callable[[float], None] = time.sleep
    truncated: bool = False
    _pieces: list[tuple[int, str]] = field(default_factory=list)
    _decoders: dict[int, codecs.IncrementalDecoder] = field(default_factory=_decoders)
    _text_left: int = TEXT_BYTES
    _answer_left: int = ANSWER_BYTES
    _dropped: int = 0
    """Bytes that were not waited for yet."""

    def take(self, stream: int, piece: bytes) -> None:
        """Keep what fits."""
        if self.truncated:
            self._drop(len(piece))
            return
        self._keep(stream, self._decoders[stream].decode(piece))

    def _drop(self, size: int) -> None:
        """Wait for what was dropped, a good deal at a time: many commands print in small pieces."""
        self._dropped += size
        if self._dropped >= WAITED_FOR:
            self.sleep(self._dropped / DROPPED_PER_SECOND)
            self._dropped = 0

    def close(self) -> None:
        """Nothing more comes: a character cut off at the end is shown as one that is wrong."""
        if not self.truncated:
            for stream, decoder in self._decoders.items():
                self._keep(stream, decoder.decode(b"", final=True))

    def _keep(self, stream: int, text: str) -> None:
        fitting = self._fitting(text)
        self.truncated = self.truncated or fitting != text
        self._pieces.append((stream, fitting))
        self._text_left -= len(fitting.encode())
        self._answer_left -= _answer_size(fitting)

    def _fitting(self, text: str) -> str:
        """The longest beginning that fits, found by halves."""
        if self._fits(text):
            return text
        least, most = 0, len(text)
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if self._fits(text[:middle]) else (least, middle)
        return text[:least]

    def _fits(self, text: str) -> bool:
        return len(text.encode()) <= self._text_left and _answer_size(text) <= self._answer_left

    def of(self, *streams: int) -> str:
        """What came on these outputs, in order."""
        return "".join(text for stream, text in self._pieces if stream in streams)


def _answer_size(text: str) -> int:
    return len(json.dumps(json.dumps(text))) - 6
