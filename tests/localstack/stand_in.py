"""A stand-in for LocalStack's image: the same release from pip, on Debian; an engine comes in, the image goes out.

It has upstream's paths and what starts it, and the machine's Python in place of 3.13. It has neither DynamoDB Local nor
upstream's entrypoint, Java and Node.
"""

import contextlib
import hashlib
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker

from infra.ground.engine import Engine
from infra.ground.images import BOOKWORM
from infra.ground.packages import Say
from infra.ground.registry import Registry
from infra.localstack import interpreter
from infra.localstack.environment import LOCK, ensure_environment
from infra.localstack.image import IMAGE, REPOSITORY
from infra.localstack.interpreter import NAME, add_interpreter, add_text, owned_by_root
from infra.localstack.server import VERSION

LABEL = "stand-in for localstack/localstack:4.13.1: the same release from pip on Debian"

_PYTHON = "/usr/local/lib/stand-in"
_VENV = "/opt/code/localstack/.venv"
_LEFT_OUT = {"awscli", "amazon_kclpy", "pip"}
"""Large, and of no service that is asked."""

_DOCKERFILE = f"""FROM {BOOKWORM}
COPY root/ /
ENV LD_LIBRARY_PATH={_PYTHON}/shared PYTHONUNBUFFERED=1 USER=localstack
WORKDIR /opt/code/localstack
VOLUME /var/lib/localstack
LABEL berth.stand_in="{LABEL}"
ENTRYPOINT ["docker-entrypoint.sh"]
"""
_ENTRYPOINT = f"""#!/bin/sh
mkdir -p /var/lib/localstack/logs
exec {_VENV}/bin/python {_VENV}/bin/localstack-supervisor
"""


@contextlib.contextmanager
def served_stand_in(engine: Engine, registry: Registry, environment: Path, say: Say) -> Iterator[None]:
    """The registry gives it under LocalStack's name inside the block; nobody has that name before and after."""
    with contextlib.closing(engine.client()) as client:
        own = _ensure_built(client, environment, say)
        forget(client)
        registry.hold(own, f"{own.partition(':')[0]}:{VERSION}")  # keeps its layers there
        registry.hold(own, IMAGE)
        try:
            yield
        finally:
            registry.forget(REPOSITORY)
            forget(client)


def forget(client: docker.DockerClient) -> None:
    """Take LocalStack's name from it."""
    with contextlib.suppress(docker.errors.ImageNotFound):
        if "berth.stand_in" in (client.images.get(IMAGE).labels or {}):
            client.images.remove(IMAGE)


def _ensure_built(client: docker.DockerClient, environment: Path, say: Say) -> str:
    parts = [LOCK, Path(__file__), Path(interpreter.__file__)]
    name = f"berth-test/localstack:{hashlib.sha256(b''.join(each.read_bytes() for each in parts)).hexdigest()[:12]}"
    if client.images.list(name):
        return name
    say(f"building the {LABEL}")
    ensure_environment(environment, say)
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as context:
            _fill(context, environment)
        file.seek(0)
        client.images.build(fileobj=file, custom_context=True, tag=name, rm=True, forcerm=True)
    return name


def _fill(context: tarfile.TarFile, environment: Path) -> None:
    venv = f"root{_VENV}"
    add_text(context, "Dockerfile", _DOCKERFILE)
    add_interpreter(context, f"root{_PYTHON}")
    add_text(context, f"{venv}/pyvenv.cfg", f"home = {_PYTHON}/bin\n")
    link = tarfile.TarInfo(f"{venv}/bin/python")
    link.type, link.linkname = tarfile.SYMTYPE, f"{_PYTHON}/bin/{NAME}"
    context.addfile(link)
    packages = f"lib/{NAME}/site-packages"
    context.add(environment / packages, f"{venv}/{packages}", filter=_wanted)
    supervisor = "bin/localstack-supervisor"
    context.add(environment / supervisor, f"{venv}/{supervisor}", filter=owned_by_root)
    add_text(context, "root/usr/local/bin/docker-entrypoint.sh", _ENTRYPOINT, 0o755)


def _wanted(entry: tarfile.TarInfo) -> Any:
    return None if Path(entry.name).name in _LEFT_OUT else owned_by_root(entry)
