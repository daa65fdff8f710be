"""What people type: `up` says where everything listens, stops cleanly, and says in one line what is wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.aws import ROOT


def up(data: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "infra.local", "up", "--data", str(data), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def listening(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Its address, and all it said until it was up."""
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        said += line
    return next(word for word in said.split() if word.startswith("http://") and word.endswith("/api")), said


def audit(data: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "infra.local", "audit", "--json", "--data", str(data)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def processes_of(data: Path) -> list[str]:
    listing = subprocess.run(["ps", "-ww", "-eo", "stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if str(data) in line and not line.startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_listens_where_it_says_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path, "--port", "0") as process:
        url, said = listening(process)
        assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "ok"}
        assert "BERTH_TOKEN=berth_" in said
        assert "curl" in said
        audited = audit(tmp_path)
        assert (audited.returncode, audited.stderr) == (0, "")
        assert json.loads(audited.stdout)["compared"]["hosts"] == 1
        began = time.monotonic()
        process.send_signal(number)
        process.wait(30)

    assert process.returncode == 0
    assert time.monotonic() - began < 20
    assert processes_of(tmp_path) == []
    audited = audit(tmp_path)
    assert (audited.returncode, audited.stderr.strip()) == (1, "error: no Berth is up: start one with `make up`")


def test_when_moto_dies_up_ends_and_says_why(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as process:
        url, _ = listening(process)
        pids = httpx.get(f"{url.removesuffix('/api')}/_local/status", trust_env=False).json()["pids"]
        os.kill(pids["moto"][0], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors.startswith("error: moto has ended, and all tables and queues with it: start again")
    assert len(errors.strip().splitlines()) == 1
    assert processes_of(tmp_path) == []


def test_an_agent_that_dies_is_started_again(tmp_path: Path) -> None:
    with up(tmp_path, "--port", "0") as process:
        listening(process)
        [first] = agents_of(tmp_path)
        os.kill(first, signal.SIGKILL)
        ends = time.monotonic() + 30
        while agents_of(tmp_path) in ([], [first]):
            assert time.monotonic() < ends, "the agent was not started again"
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)

    assert "has ended; starting it again" in said
    assert process.returncode == 0
    assert processes_of(tmp_path) == []


def agents_of(data: Path) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"infra.hostagent serve .*{data}"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up(tmp_path, "--port", str(port)) as process:
            _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors.strip() == f"error: port {port} is taken by another program: stop it, or choose another with --port"
    assert processes_of(tmp_path) == []


AS_NOBODY = """
import os, sys
from infra.local.__main__ import main
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.argv[1:] = ["up", "--data", sys.argv[1]]
sys.exit(main())
"""


def test_without_an_engine_one_line_says_so(tmp_path: Path) -> None:
    environment = {"PATH": "/nowhere", "HOME": str(tmp_path), "DOCKER_HOST": "unix:///nowhere"}
    command = [sys.executable, "-c", AS_NOBODY, str(tmp_path / "data")]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("error: no Docker engine answers and only root can start one")
    assert len(done.stderr.strip().splitlines()) == 1
