"""LocalStack in its own container: an engine and a data folder come in, a port on loopback goes out; nothing remains.

The container has no network and no engine's socket: functions are children of LocalStack in it, run by our Python and
plugin, which are copied in, and doors lead to LocalStack and to the ports of the machine that functions are let reach.
"""

import contextlib
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, NotFound

from infra.ground.engine import Engine
from infra.ground.packages import Say
from infra.local.cloud import free_port
from infra.localstack.doors import INSIDE, SCRIPT, SCRIPT_INSIDE, Doors
from infra.localstack.errors import CannotStart
from infra.localstack.image import IMAGE, ensure_image
from infra.localstack.interpreter import RUN, add_interpreter, owned_by_root
from infra.localstack.server import ON_MOTO, PLUGIN, WHOSE, Localstack, await_ready, variables

LABEL = "berth-localstack"
WAY = "in its container"
PLUGIN_INSIDE = "/opt/berth/plugin"
DYNAMODB = "/usr/lib/localstack/dynamodb-local/2/DynamoDBLocal.jar"
"""Where its image has it."""

_OURS = {"PYTHONPATH": PLUGIN_INSIDE, "BERTH_LAMBDA_PYTHON": RUN}
_NEEDED = "import asyncio, boto3, ctypes, hashlib, lzma, ssl, zlib"
_WALLS: dict[str, Any] = {
    "network_mode": "none",
    "security_opt": ["no-new-privileges:true"],
    "cap_drop": ["NET_RAW", "MKNOD"],
}
_FUNCTIONS = "our plugin's: LocalStack's children in its container, which has neither a network nor an engine's socket"


@contextlib.contextmanager
def in_container(engine: Engine, data: Path, say: Say) -> Iterator[Localstack]:
    """LocalStack inside the block; container, volume and files are gone after it. CannotStart with the reason."""
    ensure_image(engine, say)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(engine.client()))
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        stack.callback(_remove, client, data)
        try:
            localstack = _started(stack, client, data)
        except (DockerException, OSError) as error:
            raise CannotStart(f"LocalStack's container cannot be had: {error}") from error
        yield localstack


def label(data: Path) -> dict[str, str]:
    """What containers of this data folder are known by."""
    return {LABEL: hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]}


def _started(stack: contextlib.ExitStack, client: docker.DockerClient, data: Path) -> Localstack:
    _remove(client, data)
    folder, log = _empty(data), data.with_suffix(".log")
    port, moto = free_port(0, "--port"), {} if has(client, data, DYNAMODB) else ON_MOTO
    container = _created(client, data, folder, {**variables(port), **moto, **_OURS})
    container.start()
    stack.callback(_keep_log, container, log)
    doors = Doors(container, folder, data.with_suffix(".doors.log"))
    stack.callback(doors.close)
    _try_interpreter(container)
    doors.let_in(port)
    _await(container, port, log)
    return Localstack(port, _pid(container), WAY, _whose(bool(moto)), doors.let_out)


def _empty(data: Path) -> Path:
    """The folder of doors: whoever LocalStack is on the machine may write there, and nobody else comes so far."""
    shutil.rmtree(data, ignore_errors=True)
    folder = data / "doors"
    folder.mkdir(parents=True)
    data.chmod(0o700)
    folder.chmod(0o777)
    return folder


def _created(client: docker.DockerClient, data: Path, folder: Path, environment: dict[str, str]) -> Any:
    """The container with plugin, door and Python in it. No check of its health: each is a Python of a second."""
    container = client.containers.create(
        IMAGE,
        labels=label(data),
        environment=environment,
        volumes={str(folder.resolve()): {"bind": INSIDE}},
        healthcheck={"test": ["NONE"]},
        **_WALLS,
    )
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            add_interpreter(archive)
            archive.add(PLUGIN, PLUGIN_INSIDE, filter=owned_by_root)
            archive.add(SCRIPT, SCRIPT_INSIDE, filter=owned_by_root)
        file.seek(0)
        container.put_archive("/", file)
    return container


def has(client: docker.DockerClient, data: Path, path: str) -> bool:
    """Whether the image has this file; asked of a container that never runs."""
    container = client.containers.create(IMAGE, labels=label(data), **_WALLS)
    try:
        for _part in container.get_archive(path)[0]:
            pass  # the engine lets go of the container once all is read
    except NotFound:
        return False
    finally:
        container.remove(v=True)
    return True


def _try_interpreter(container: Any) -> None:
    code, output = container.exec_run([RUN, "-c", _NEEDED])
    if code:
        raise CannotStart(f"our Python does not run in {IMAGE}: {output.decode(errors='replace').strip()[-200:]}")


def _await(container: Any, port: int, log: Path) -> None:
    def runs() -> bool:
        container.reload()
        return bool(container.status == "running")

    try:
        await_ready(port, runs)
    except CannotStart as error:
        raise CannotStart(f"{error} in its container: read {log}") from error


def _pid(container: Any) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def _whose(on_moto: bool) -> dict[str, str]:
    database = WHOSE["DynamoDB"] if on_moto else "AWS's DynamoDB Local, which LocalStack starts: its own"
    return {**WHOSE, "DynamoDB": database, "the processes that run functions": _FUNCTIONS}


def _keep_log(container: Any, log: Path) -> None:
    with contextlib.suppress(DockerException, OSError):
        log.write_bytes(container.logs())


def _remove(client: docker.DockerClient, data: Path) -> None:
    """Containers of this data folder, whoever left them, with their volumes."""
    [(name, value)] = label(data).items()
    for container in client.containers.list(all=True, filters={"label": f"{name}={value}"}, ignore_removed=True):
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
