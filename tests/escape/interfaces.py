"""Rows 35-38: what reaches the host by way of the API; what has no interface yet is in the table of exceptions."""

import ast
from pathlib import Path

from chalicelib.contract.agent_api import FileDeed
from tests.aws import ROOT
from tests.limits.probes import Ground, Probe, Verdict, probe

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
