"""The cells in which moto dies: `up` under a load comes in; that it ends, says why and leaves nothing goes out.

moto's memory is all there is of tables and queues, so this is all that can be promised (docs/local-cloud.md).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from infra.ground.engine import PrivateEngine
from infra.local.running import environment_of
from tests.aws import ROOT
from tests.chaos.cells import CALLS, Cell, Outcome
from tests.chaos.clients import SMALL
from tests.chaos.settled import LOOK_SECONDS

END_SECONDS = 60
SIGNALS = {"SIGKILL": signal.SIGKILL, "restart": signal.SIGTERM}


def play_ending(cell: Cell, data: Path) -> Outcome:
    """Strike moto under the load and see `up` end."""
    try:
        with _up(data) as (process, url, token):
            status = httpx.get(f"{url.removesuffix('/api')}/_local/status", trust_env=False).json()
            _load(cell, url, token)
            began = time.monotonic()
            os.kill(status["pids"]["moto"][0], SIGNALS[cell.action])
            _, errors = process.communicate(timeout=END_SECONDS)
            seconds = time.monotonic() - began
        assert process.returncode == 1, f"exit code {process.returncode}"
        assert errors.startswith("error: moto has ended"), errors[-300:]
        left = _left(data)
        assert not left, f"left on the engine: {left}"
    except (AssertionError, httpx.HTTPError, subprocess.TimeoutExpired) as error:
        return Outcome(cell, ok=False, said=str(error)[:500])
    return Outcome(cell, ok=True, seconds=round(seconds, 1), said="ended, exit code 1, nothing left")


@contextlib.contextmanager
def _up(data: Path) -> "Iterator[tuple[subprocess.Popen[str], str, str]]":
    """A Berth as a person starts it, with the address and token it says."""
    command = [sys.executable, "-m", "infra.local", "up", "--data", str(data), "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment["DOCKER_HOST"] = "unix:///nowhere"
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            said = ""
            while "Ctrl-C" not in said:
                line = process.stdout.readline() if process.stdout else ""
                assert line, process.stderr.read()[-300:] if process.stderr else "it did not start"
                said += line
            url = next(word for word in said.split() if word.startswith("http://") and word.endswith("/api"))
            token = next(word for word in said.split() if word.startswith("BERTH_TOKEN="))
            yield process, url, token.removeprefix("BERTH_TOKEN=")
        finally:
            if process.poll() is None:
                process.terminate()


def _load(cell: Cell, url: str, token: str) -> None:
    """As many creates as the user may have, or deletes of them; none of these calls has to be answered well."""
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False) as http:
        create = partial(http.post, f"{url}/containers", json=SMALL)
        if cell.load == "idle":
            return
        ids = [answer.json()["id"] for answer in (create() for _ in range(CALLS)) if answer.status_code == 202]
        if cell.load == "deletes":
            http.get(f"{url}/containers/{ids[-1]}?wait=running&timeout=15")
            for container_id in ids:
                http.delete(f"{url}/containers/{container_id}")


def _left(data: Path) -> list[str]:
    """Our containers on the engine's disk, and the environment of a Berth that is no more."""
    private = PrivateEngine(data / "engine")
    engine = private.start(lambda _line: None)
    try:
        with contextlib.closing(engine.client()) as client:
            found = [each.name for each in client.containers.list(all=True, filters={"label": "berth.managed"})]
    finally:
        private.stop()
    with contextlib.suppress(Exception):
        environment_of(data)
        found.append("environment")
    time.sleep(LOOK_SECONDS)
    return found
