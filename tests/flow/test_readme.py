"""What the README shows is what happens: its examples are run as they stand."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local.berth import Berth
from tests.aws import ROOT
from tests.flow.conftest import User

BASE = "127.0.0.1:8080/api"


def examples(language: str, berth: Berth) -> list[str]:
    """The README's examples in this language, pointed at the running Berth."""
    text = (ROOT / "README.md").read_text().replace(BASE, berth.url.removeprefix("http://"))
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def environment(user: User) -> dict[str, str]:
    return os.environ | {"BERTH_TOKEN": user.token, "NO_PROXY": "127.0.0.1"}


@pytest.mark.usefixtures("shell")
def test_the_python_client_creates_waits_and_deletes(user: User) -> None:
    [script] = [each for each in examples("python", user.berth) if "httpx" in each]

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(user), capture_output=True, text=True, check=False
    )

    assert done.stdout.split()[1:] == ["running", "None", "0", "Linux", "root", "hello"], done.stderr
    assert user.http.get("/containers").json()["count"] == 0


def test_the_subscriber_prints_every_stage(user: User, tmp_path: Path) -> None:
    [script] = [each for each in examples("python", user.berth) if "websockets" in each]
    output = tmp_path / "output"
    command = [sys.executable, "-u", "-c", script]
    with output.open("w") as file, subprocess.Popen(command, env=environment(user), stdout=file) as subscriber:
        ends = time.monotonic() + 30
        while "list" not in output.read_text() and time.monotonic() < ends:
            time.sleep(0.05)
        user.create()
        while "updated" not in output.read_text() and time.monotonic() < ends:
            time.sleep(0.05)
        subscriber.terminate()

    lines = [line.split() for line in output.read_text().splitlines()]
    assert [line[0] for line in lines] == ["list", *["progress"] * 3, "created", *["progress"] * 3, "updated"]
    assert lines[1] == ["progress", "1", "validating", "10", "None"]


def test_the_shell_lines_are_accepted(user: User) -> None:
    [script] = [each for each in examples("sh", user.berth) if "Idempotency-Key" in each]
    script = script.replace("export BERTH_TOKEN=berth_…\n", "")

    done = subprocess.run(["bash", "-c", script], env=environment(user), capture_output=True, text=True, check=True)

    assert '"status":"creating"' in done.stdout
    assert '"count":1' in done.stdout
