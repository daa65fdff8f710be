"""The agent before it takes anything: an engine with known holes is refused, unless it is told that this is a test."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from chalicelib.contract.signatures import public_key_of
from tests.aws import ROOT
from tests.fakes.world import CONTROL_KEY

VERSION = "29.5.0"
FACTS = {
    "version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": VERSION},
    "info": {
        "ServerVersion": VERSION, "KernelVersion": "6.1", "NCPU": 2, "MemTotal": 2**34, "DockerRootDir": "/nowhere",
        "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
        "Runtimes": {"runc": {}},
    },
}  # fmt: skip


class _Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(FACTS[self.path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "agent"

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def old_engine(tmp_path: Path) -> Iterator[str]:
    """The socket of an engine that is one version too old, as far as it says."""
    path = tmp_path / "engine.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


def test_an_engine_below_the_floor_is_refused_in_one_line(old_engine: str, tmp_path: Path) -> None:
    (tmp_path / "control.pub").write_text(public_key_of(CONTROL_KEY))
    command = [
        sys.executable, "-m", "infra.hostagent", "serve", "--host-id", "h1", "--data", str(tmp_path / "data"),
        "--engine", old_engine, "--control-key", str(tmp_path / "control.pub"), "--events-queue-url", "http://nowhere",
    ]  # fmt: skip

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: Docker Engine {VERSION} has known holes: update it, or say --dev on a test machine"
    )
