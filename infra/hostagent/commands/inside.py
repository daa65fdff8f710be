"""Files inside containers: a call comes in, programs of the container's own do it, what they found or why not goes out.

By programs inside, as whom the call says, because the container's kernel view then decides where a path leads: no link,
race or name can lead out of it, quotas hold, and the host reads no archive that somebody inside has made (ADR 0029).
What comes out is by whoever is inside: it is held to a size and to its form, and believed in nothing else.
"""

import posixpath
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from chalicelib.contract.agent_api import FILE_BYTES, FileCall, Filed, FileDeed, FileEntry, FileFault
from infra.hostagent.commands.execs import ROOT, Execs
from infra.hostagent.commands.file_scripts import FAULT_OF_CODE, SCRIPTS
from infra.hostagent.ports import STDOUT, Command, Exited

LISTING_BYTES = 512 * 1024
"""Of a folder's listing: a function may answer 6 MB, and a byte that is no text takes up to seven of them."""

_SAID_BYTES = 4096
_SAID_LENGTH = 200
_MISSING_PROGRAM = 127
_FAULT_OF_WORDS = {
    "permission denied": FileFault.DENIED,
    "operation not permitted": FileFault.DENIED,
    "read-only file system": FileFault.DENIED,
    "no space left on device": FileFault.DISK_FULL,
    "quota exceeded": FileFault.DISK_FULL,
    "no such file or directory": FileFault.MISSING,
    "nonexistent directory": FileFault.MISSING,
    "not a directory": FileFault.NO_FOLDER,
    "file exists": FileFault.NO_FOLDER,
    "is a directory": FileFault.IS_FOLDER,
}
"""By the last words of a program that failed, in the C locale of glibc and musl."""

_LINE = re.compile(rb"([0-9a-f]{1,8}) ([0-9]{1,19}) (-?[0-9]{1,12})")
_ENTRY = re.compile(_LINE.pattern + rb" \./([^/\0]{1,255})//\n", re.DOTALL)


@dataclass(slots=True)
class Caught:
    """What a command prints, as bytes, up to a size."""

    size: int
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    overfull: bool = False

    def take(self, stream: int, piece: bytes) -> None:
        """Keep what fits."""
        kept, size = (self.output, self.size) if stream == STDOUT else (self.errors, _SAID_BYTES)
        self.overfull = self.overfull or (stream == STDOUT and len(kept) + len(piece) > size)
        kept += piece[: size - len(kept)]

    def close(self) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Files:
    """Does what is asked for with files, by the containers' own programs."""

    execs: Execs

    def do(self, call: FileCall) -> Filed:
        """Do it, or say why not; CallRefused when nothing was begun."""
        command = Command(
            ("/bin/sh", "-c", SCRIPTS[call.deed], "berth", *_arguments(call)),
            ROOT,
            "/",
            (("LC_ALL", "C"),),
            reads=call.deed is FileDeed.WRITE,
        )
        size = LISTING_BYTES if call.deed is FileDeed.LIST else FILE_BYTES + _SAID_BYTES
        given = call.content if call.deed is FileDeed.WRITE else None
        caught, exited, _ = self.execs.once(call, lambda _: command, lambda: Caught(size), given)
        return _filed(call, caught, exited)


def _arguments(call: FileCall) -> tuple[str, ...]:
    extra = {
        FileDeed.READ: (str(FILE_BYTES + 1),),
        FileDeed.WRITE: (uuid.uuid4().hex, str(len(call.content))),
    }
    return (call.path, *extra.get(call.deed, ()))


def _filed(call: FileCall, caught: Caught, exited: Exited) -> Filed:
    if exited.left:
        return Filed(fault=FileFault.TIMED_OUT)
    if not exited.started:
        return Filed(fault=FileFault.FAILED, said="the container has no /bin/sh, or no such user")
    if call.deed is FileDeed.LIST and exited.exit_code <= 1:
        return _listed(call, caught)
    if exited.exit_code:
        return _failed(caught, exited.exit_code)
    return Filed() if call.deed is FileDeed.REMOVE else _found(call, caught)


def _found(call: FileCall, caught: Caught) -> Filed:
    line, _, rest = bytes(caught.output).partition(b"\n")
    entry = _entry(line, call.path)
    if entry is None:
        return Filed(fault=FileFault.FAILED, said="what the container's programs say cannot be read")
    if call.deed is not FileDeed.READ:
        return Filed(entry=entry)
    if len(rest) > FILE_BYTES:
        return Filed(fault=FileFault.TOO_LARGE, entry=entry)
    return Filed(entry=entry, content=rest)


def _listed(call: FileCall, caught: Caught) -> Filed:
    """What vanishes while it is listed makes the program fail, and is no reason to."""
    line, _, rest = bytes(caught.output).partition(b"\n")
    folder = _entry(line, call.path)
    if folder is None:
        return _failed(caught, 1)
    if caught.overfull:
        return Filed(fault=FileFault.TOO_LARGE, entry=folder)
    entries = [_read(found.groups(), found[4].decode(errors="replace")) for found in _ENTRY.finditer(rest)]
    if not entries and caught.errors:
        return _failed(caught, 1)
    return Filed(entry=folder, entries=sorted(entries, key=lambda each: each.name))


def _entry(line: bytes, path: str) -> FileEntry | None:
    found = _LINE.fullmatch(line)
    return _read(found.groups(), posixpath.basename(path) or "/") if found else None


def _read(numbers: Sequence[bytes], name: str) -> FileEntry:
    mode, size, modified = numbers[:3]
    return FileEntry(name=name, size=int(size), mode=int(mode, 16), modified=int(modified))


def _failed(caught: Caught, code: int) -> Filed:
    said = _last_words(caught.errors)
    if code == _MISSING_PROGRAM:
        return Filed(fault=FileFault.FAILED, said=f"a program is missing in the container: {said}")
    lowered = said.lower()
    by_words = (fault for words, fault in _FAULT_OF_WORDS.items() if lowered.endswith(words))
    return Filed(fault=FAULT_OF_CODE.get(code) or next(by_words, FileFault.FAILED), said=said)


def _last_words(errors: bytearray) -> str:
    """Its last line, fit to be shown."""
    lines = errors.decode(errors="replace").strip().splitlines() or [""]
    return "".join(letter for letter in lines[-1] if letter.isprintable())[-_SAID_LENGTH:]
