"""Rows 35-38: what reaches the host by way of the API."""

import ast
import contextlib
import hashlib
import io
import logging
import os
import tarfile
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from chalicelib.contract.agent_api import FileDeed
from tests.aws import ROOT
from tests.docker.terminals import Terminal, terminal
from tests.limits.probes import Ground, Probe, Verdict, probe
from tests.pace import SLOWNESS

log = logging.getLogger(__name__)

INTERFACES: list[Probe] = []

_UNPACKING = {"extract", "extractall", "extractfile", "unpack_archive", "ZipFile"}
"""Names of whatever in the standard library makes files of an archive; writing archives of our own harms nobody."""


_CANARY = "/etc/berth-canary"
"""On the host, where a path that led out of a container would find it."""

_RACE = """
cd /home/user && mkdir -p inside && echo mine > inside/berth-canary
while :; do
  ln -sfn inside swapped; ln -sfn ../../../../../../etc swapped; ln -sfn /proc/1/root/etc swapped
done
"""
"""A folder that is another one every moment: inside, above the root, and by way of /proc."""


@probe(35, "paths that lead out", INTERFACES)
def paths(ground: Ground) -> Verdict:
    """Whatever a path looks like, and however fast a link on it changes, no file of the host is read or changed."""
    canary = Path(_CANARY)
    canary.write_text("the host's")
    try:
        ground.spawn(_RACE)
        seen = [_tried(ground, path) for path in _PATHS] + [_raced(ground) for _ in range(25)]
        ground.run("cd /home/user; ln -s /proc/self/fd fds; ln -s / top; mknod null c 1 3; mkfifo p")
        seen += [_tried(ground, f"/home/user/{each}{_CANARY}") for each in ("fds/7", "top", "fds/../../../..")]
        special = [ground.agent.file(ground.spec, FileDeed.READ, f"/home/user/{each}").fault for each in ("null", "p")]
        out = canary.read_text() != "the host's" or b"the host's" in b"".join(seen)
    finally:
        canary.unlink()
    wrong = [*(["the host's file was reached"] if out else []), *(f"{each}" for each in special if each is None)]
    return Verdict(held=not wrong, seen=", ".join(wrong) or f"{len(seen)} paths, none led out")


_PATHS = (
    _CANARY,
    f"/../../../../../..{_CANARY}",
    f"/proc/1/root{_CANARY}",
    f"/proc/self/root/../../..{_CANARY}",
    f"/proc/self/cwd/../../..{_CANARY}",
    "/dev/../" + "../" * 60 + _CANARY,
    "/home/user/..\u2215..\u2215etc/berth-canary",
    "/home/user/%2e%2e/%2e%2e/etc/berth-canary",
    "/" + "a/" * 1900,
)


def _tried(ground: Ground, path: str) -> bytes:
    """What is read there as root, before something else is written there and removed."""
    read = ground.agent.file(ground.spec, FileDeed.READ, path, user="root").content
    ground.agent.file(ground.spec, FileDeed.WRITE, path, b"from inside", user="root")
    ground.agent.file(ground.spec, FileDeed.REMOVE, path, user="root")
    return read


def _raced(ground: Ground) -> bytes:
    return _tried(ground, "/home/user/swapped/berth-canary")


@probe(36, "archives of users unpacked on the host", INTERFACES)
def unpacking(ground: Ground) -> Verdict:
    """Nothing that runs on a host or in a function can unpack an archive."""
    shipped = [*(ROOT / "chalicelib").rglob("*.py"), *(ROOT / "infra/hostagent").rglob("*.py"), ROOT / "app.py"]
    found = [f"{path.relative_to(ROOT)}: {name}" for path in shipped for name in _names(path) if name in _UNPACKING]
    return Verdict(held=not found, seen=", ".join(found) or f"none of {len(shipped)} modules")


_FRAMES: tuple[str | bytes, ...] = (
    "", b"", "null", "42", "{", '{"type":"input","data":null}', '{"type":"resize","cols":1e999,"rows":[]}',
    '{"type":"output","data":"x"}', "[" * 100_000, '{"a":' * 100_000, "\x1b[2J\x1b]0;title\x07\x1b[6n",
    "\u202e\u2028\x00", bytes(range(256)) * 64, b"\xff\xfe{", b'{"type":"input","data":"\\ud800"}',
)  # fmt: skip
"""What no client of ours sends."""

_PASTE_BYTES = 10 * 1024 * 1024


@probe(37, "a terminal used in every wrong way", INTERFACES)
def terminals(ground: Ground) -> Verdict:
    """Sizes, frames, sequences and amounts that are not meant to be: the agent lives on and every terminal works."""
    agent, spec = ground.agent, ground.spec
    with terminal(agent, spec, "id=%1b%5b2J&cols=65535&rows=-1") as shell:
        for number in range(10_000):
            shell.resize(number * 7, 65_535 - number)
        shell.resize(0, 0)
        shell.resize(65_535, 65_535)
        sized = _settled(shell, "1000 1000")
        shell.type("printf '\\033]0;x\\007\\033[2J\\377\\000%s\\n' \"$(yes x | head -c 100000)\"\n")
        pasted = _pasted(ground, shell)
        junk = [*_FRAMES, "x" * 2 * 1024 * 1024]
        with contextlib.suppress(ConnectionClosed):  # by the last, which is too large
            for frame in junk:
                shell.socket.send(frame)
            shell.closed()
    with terminal(agent, spec, "id=after") as after:
        works = after.run("echo here").strip() == "here"
    answers = agent.run(spec, "echo", "here", user="root").json()["stdout"] == "here\n"
    held = {
        "the last size counts": sized,
        "a paste is whole": pasted,
        "frames are small": shell.largest <= 4096,
        "another terminal works": works,
        "a command runs": answers,
        "the agent lives": agent.child.exit_code is None,
    }
    wrong = [f"not so: {words}" for words, so in held.items() if not so]
    return Verdict(held=not wrong, seen=", ".join(wrong) or f"10 002 sizes, {len(junk)} frames, a paste of 10 MB")


def _settled(shell: Terminal, size: str) -> bool:
    """Whether the terminal comes to have that size: sizes are given one after the other."""
    return any(shell.run("sleep 0.2; stty size").strip() == size for _ in range(10))


def _pasted(ground: Ground, shell: Terminal) -> bool:
    """Whether as many random bytes as somebody may paste arrive as they are; where not, which do not."""
    paste = os.urandom(_PASTE_BYTES)
    program = f"head -c {len(paste)} >/home/user/pasted"
    shell.type(f"stty raw -echo; echo rea''dy; {program}; stty sane; echo do''ne\n")
    shell.read("ready")
    for at in range(0, len(paste), 512 * 1024):
        shell.socket.send(paste[at : at + 512 * 1024])
    shell.read("done", seconds=120 * SLOWNESS)
    if ground.run("sha256sum /home/user/pasted").words[:1] == [hashlib.sha256(paste).hexdigest()]:
        return True
    stream, _ = ground.container.get_archive("/home/user/pasted")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        [entry] = archive.getmembers()
        arrived = archive.extractfile(entry).read()  # type: ignore[union-attr]
    same = next((at for at, pair in enumerate(zip(paste, arrived, strict=False)) if pair[0] != pair[1]), len(arrived))
    after = arrived.find(paste[same : same + 64])
    log.error("%d bytes came, the first %d as they were; what is next was found at %d", len(arrived), same, after)
    return False


@probe(38, "arguments of what is run", INTERFACES)
def arguments(ground: Ground) -> Verdict:
    """What is to be run is a list of arguments and stays one; what is none harms nobody."""
    agent, spec = ground.agent, ground.spec
    given = ["--help", "-n", "a\nb", "$(id)", "`id`", "; id", "| id", "'", '"', "\\", "*", "\u202e", ""]
    printed = agent.run(spec, "printf", "<%s>", *given, user="root").json()["stdout"]
    odd = {
        "no name": agent.run(spec, "", "x", user="root"),
        "an option": agent.run(spec, "--privileged", "id", user="root"),
        "NUL": agent.run(spec, "printf", "a\0b", user="root"),
        "128 KB": agent.run(spec, "true", "x" * 131_073, user="root"),
        "folder of a descriptor": agent.run(spec, "ls", user="root", workdir="/proc/self/fd/7"),
        "folder above": agent.run(spec, "ls", "/etc/berth", user="root", workdir="/../../../.."),
    }
    broken = [name for name, answer in odd.items() if answer.status_code >= 500]
    done = [name for name, answer in odd.items() if answer.status_code == 200 and answer.json()["exit_code"] == 0]
    alive = agent.run(spec, "echo", "here", user="root").json()["stdout"] == "here\n"
    as_given = printed == "".join(f"<{each}>" for each in given)
    wrong = [
        *broken,
        *done,
        *([] if as_given else [f"arguments became {printed!r}"]),
        *([] if alive else ["no answer"]),
    ]
    return Verdict(held=not wrong, seen=", ".join(wrong) or f"{len(given)} as given, {len(odd)} refused")


def _names(path: Path) -> set[str]:
    """What a module imports by name, or takes from something."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found
