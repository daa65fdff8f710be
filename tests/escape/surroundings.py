"""Rows 10, 11, 13, 40: what of the host lies about inside, and what an image can make of it."""

import contextlib
import hashlib
import io
import re
import socket
import tarfile
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.ground.images import TINY
from tests.builders import a_spec
from tests.escape.attempts import all_of, refused, tried
from tests.limits.probes import SMALL, Ground, Probe, Verdict, probe

SURROUNDINGS: list[Probe] = []

_SECRET = re.compile(r"AWS_|BERTH|DOCKER|TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY", re.IGNORECASE)
_ENVIRONMENT = {"PATH", "HOSTNAME", "HOME", "PWD", "SHLVL", "_", "OLDPWD"}


@probe(10, "sockets and credentials", SURROUNDINGS)
def credentials(ground: Ground) -> Verdict:
    """No engine's or agent's socket, no mounted secret, nothing of the agent's environment."""
    agent = ground.agent
    paths = (
        "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/secrets", "/run/berth*",
        "/root/.aws", "/root/.docker", "/var/lib/docker", "/var/lib/berth", str(agent.data), agent.engine.url[7:],
    )  # fmt: skip
    there = {path: f"ls -d {path}" for path in paths}
    sockets = ground.run("find / -xdev -type s 2>/dev/null").words
    names = ground.run("tr '\\0' '\\n' < /proc/1/environ; env").output.splitlines()
    secret = sorted({name.partition("=")[0] for name in names if _SECRET.search(name)})
    return all_of(
        refused(tried(ground, there)),
        Verdict(held=not sockets, seen=f"sockets: {sockets}" if sockets else "no socket"),
        Verdict(held=not secret, seen=f"environment has {secret}" if secret else "nothing in the environment"),
    )


@probe(11, "names and paths of the host", SURROUNDINGS)
def names(ground: Ground) -> Verdict:
    """Documented: where the container's own files lie on the host. Nothing else tells one host from another."""
    own = f"{ground.agent.data}/containers/berth-{ground.spec.container_id}-1/"
    roots = {line.split()[3] for line in ground.run("cat /proc/self/mountinfo").output.splitlines()}
    foreign = {root for root in roots if str(ground.agent.data) in root and not root.startswith(own)}
    files = ground.run("cat /etc/hosts /etc/hostname /etc/resolv.conf; hostname; env; cat /proc/1/environ").output
    told = [word for word in (socket.gethostname(), ground.agent.host_id, "search ") if len(word) > 2 and word in files]
    environment = {line.partition("=")[0] for line in ground.run("env").output.splitlines()}
    unknown = environment - _ENVIRONMENT - set(ground.spec.environment)
    wrong = [*foreign, *told, *unknown]
    return Verdict(held=not wrong, seen=f"told: {wrong}" if wrong else "its own files' folder and no more")


_LINKS = {
    "folder of devices": {"dev": "{canary}"},
    "null": {"dev/null": "{canary}/file"},
    "terminals": {"dev/pts": "{canary}"},
    "console": {"dev/console": "{canary}/file"},
    "proc": {"proc": "{canary}"},
    "its own files": {"etc/hosts": "{canary}/file", "etc/hostname": "/../../../..{canary}/file"},
    "init": {"sbin": "{canary}"},
}
"""Images whose folders lead out (CVE-2025-31133, -52565; 2026-41579)."""


@probe(13, "images whose devices are links", SURROUNDINGS)
def links(ground: Ground) -> Verdict:
    """Such an image does not start, or starts harmlessly; a file of the host that it points at stays as it is."""
    started = 0
    with TemporaryDirectory() as folder:
        canary = Path(folder)
        canary.chmod(0o777)
        (canary / "file").write_text(uuid.uuid4().hex)
        (canary / "file").chmod(0o666)
        before = _state(canary)
        for shape in _LINKS.values():
            started += _outcome(ground, {where: to.format(canary=canary) for where, to in shape.items()}) == "ready"
        changed = _state(canary) != before
    leaky = _outcome(ground, {}, working_dir="/proc/self/fd/7")
    return all_of(
        Verdict(held=not changed, seen="host changed" if changed else f"{started} of {len(_LINKS)} start, harmless"),
        Verdict(held=leaky in ("/", "failed"), seen=f"working folder /proc/self/fd/7: {leaky}"),
    )


def _outcome(ground: Ground, links: dict[str, str], working_dir: str = "/") -> str:
    """How a container of such an image begins; what is written inside then must stay inside."""
    agent = ground.agent
    reference = f"berth-test/links-{uuid.uuid4().hex[:8]}:1"
    with contextlib.closing(agent.engine.client()) as client:
        archive = _with_links(_saved(client), links)
        client.api.import_image_from_data(archive, *reference.split(":"), changes=[f"WORKDIR {working_dir}"])
        spec = a_spec(image=reference, resources=SMALL)
        agent.create(spec)
        kind = agent.wait(lambda: _ended(agent.about(spec.container_id)))
        if kind == "ready":
            agent.inside(
                spec.container_id, "for f in $(echo /dev/null /dev/pts/x /proc/x /etc/hosts); do echo x > $f; done"
            )
            kind = agent.inside(spec.container_id, "pwd").strip() if working_dir != "/" else kind
        agent.remove(spec)
        client.images.remove(reference)
    return str(kind)


def _ended(events: list[object]) -> str | None:
    kinds = [event.kind for event in events]  # type: ignore[attr-defined]
    return next((kind for kind in ("ready", "failed") if kind in kinds), None)


def _saved(client: object) -> bytes:
    """The file system of the tiny image."""
    container = client.containers.create(TINY, ["true"])  # type: ignore[attr-defined]
    try:
        return b"".join(container.export())
    finally:
        container.remove()


def _with_links(layer: bytes, links: dict[str, str]) -> bytes:
    """The same with links in place of what is there."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(layer)) as source, tarfile.open(fileobj=buffer, mode="w") as target:
        for member in source:
            if not any(member.name == where or member.name.startswith(f"{where}/") for where in links):
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        for where, to in links.items():
            link = tarfile.TarInfo(where)
            link.type, link.linkname = tarfile.SYMTYPE, to
            target.addfile(link)
    return buffer.getvalue()


def _state(folder: Path) -> list[tuple[str, int, int, str]]:
    found = []
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found.append((str(path), status.st_mode, status.st_uid, content))
    return found


@probe(40, "processor's weaknesses", SURROUNDINGS)
def processor(ground: Ground) -> Verdict:
    """Reported, not judged: mitigations are the machine's."""
    lines = ground.run("grep -H . /sys/devices/system/cpu/vulnerabilities/* 2>/dev/null").output.splitlines()
    weak = [line.rpartition("/")[2].partition(":")[0] for line in lines if ":Vulnerable" in line]
    siblings = (ground.run("cat /sys/devices/system/cpu/smt/active 2>/dev/null").words or ["?"])[0]
    return Verdict(held=True, seen=f"{len(lines)} known, vulnerable: {' '.join(weak) or 'none'}; SMT {siblings}")
