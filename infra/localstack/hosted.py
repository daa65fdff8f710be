"""LocalStack in host mode: a data folder comes in, a process on loopback goes out; nothing of it remains."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.ground.packages import Say
from infra.local.cloud import free_port
from infra.local.processes import Child
from infra.localstack.environment import ensure_environment
from infra.localstack.errors import CannotStart
from infra.localstack.server import ON_MOTO, PLUGIN, WHOSE, Localstack, await_ready, variables

STOP_SECONDS = 15.0
WAY = "host mode"
_WHOSE = {**WHOSE, "the processes that run functions": "our plugin's, without containers"}


@contextlib.contextmanager
def on_the_host(data: Path, environment: Path, say: Say) -> Iterator[Localstack]:
    """LocalStack inside the block; its processes and files are gone after it. CannotStart with the reason."""
    python = ensure_environment(environment, say)
    shutil.rmtree(data, ignore_errors=True)
    (data / "tmp").mkdir(parents=True)
    port, log = free_port(0, "--port"), data.with_suffix(".log")
    log.unlink(missing_ok=True)
    child = Child("localstack", [str(python), "-m", "localstack.runtime.main"], _variables(data.resolve(), port), log)
    try:
        _await(child, port, log)
        yield Localstack(port, child.pid, WAY, _WHOSE, lambda _port: None)
    finally:
        child.stop(STOP_SECONDS)
        shutil.rmtree(data, ignore_errors=True)


def _await(child: Child, port: int, log: Path) -> None:
    try:
        await_ready(port, lambda: child.exit_code is None)
    except CannotStart as error:
        raise CannotStart(f"{error}: read {log}") from error


def _variables(data: Path, port: int) -> dict[str, str]:
    """Everything of it in one folder."""
    return {
        **variables(port),
        **ON_MOTO,
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "TMPDIR": str(data / "tmp"),
        "FILESYSTEM_ROOT": str(data / "root"),
        "CONFIG_DIR": str(data / "config"),
        "OVERRIDE_IN_DOCKER": "0",
        "PYTHONPATH": str(PLUGIN.resolve()),
        "GATEWAY_SERVER": "loopback",
        "BERTH_LAMBDA_PYTHON": sys.executable,
    }
