"""`python -m infra.relay` as operators run it."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from chalicelib.contract.signatures import public_key_of
from chalicelib.contract.terminals import relay_key
from infra.ground.ports import unclaimed_port
from tests.unit.infra.relay.conftest import CONTAINER, KEY, TOKEN, Running, closed, greeted, until


def command(folder: Path, *options: str) -> list[str]:
    keys = ["--public-key", str(folder / "control-key.pub"), "--relay-key", str(folder / "relay.key")]
    return [sys.executable, "-m", "infra.relay", *keys, "--address", "127.0.0.1", *options]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "control-key.pub").write_text(public_key_of(KEY))
    (tmp_path / "relay.key").write_text(relay_key(KEY) + "\n")
    return tmp_path


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json() == {
            "status": "ok",
            "connections": 0,
        }
    except httpx.HTTPError:
        return False


def test_it_serves_and_at_its_end_sends_clients_away_and_has_logged_no_secret(relay: Running, keys: Path) -> None:
    port = unclaimed_port()
    api = relay.url.replace("ws", "http", 1) + "/api"
    with subprocess.Popen(
        command(keys, "--api", api, "--port", str(port)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        until(lambda: is_up(port))
        alone = Running(f"ws://127.0.0.1:{port}", relay.api, relay.agent, relay.server, relay.application)
        assert alone.refusal(query="?token=berth_secret", additional_headers={})[0] == 401
        with alone.connect(query=f"?token={TOKEN}", additional_headers={}) as socket:
            greeted(socket)
            process.send_signal(signal.SIGTERM)
            assert closed(socket)[0] == 1012
        logged = process.communicate(timeout=20)[0]

    assert process.returncode == 0, logged
    assert "terminal opened" in logged
    assert CONTAINER in logged
    assert not any(each in logged for each in (TOKEN, "berth_secret", "Traceback", "ERROR"))


@pytest.mark.parametrize("broken", ["control-key.pub", "relay.key"])
def test_keys_that_are_none_are_told_in_a_line(keys: Path, broken: str) -> None:
    (keys / broken).write_text("nonsense")

    done = subprocess.run(command(keys, "--api", "http://x"), capture_output=True, text=True, check=False)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
