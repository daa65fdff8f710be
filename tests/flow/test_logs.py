"""What a deployment writes: every line is JSON with its keys, and one request's id leads through all of it."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.flow.conftest import PATIENCE_SECONDS, QUICK, RATES, User, frames

FUNCTION_LOG = "functions.log"


@pytest.fixture(scope="module")
def berth(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    settings = BerthSettings(
        tmp_path_factory.mktemp("logs"), environment=RATES, agent_options=QUICK, schedule_speed=20.0
    )
    with running_berth(settings, engine) as running:
        yield running


@pytest.fixture
def user(berth: Berth) -> Iterator[User]:
    made = berth.new_user()
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False) as client:
        yield User(berth, made["user_id"], made["token"], client)


def lines_of(berth: Berth) -> dict[str, list[dict[str, Any]]]:
    """Every line of the functions and agents, by file; a line that is no JSON object fails here."""
    folder = berth.cloud.settings.data / "logs"
    found = {}
    for path in [folder / FUNCTION_LOG, *(folder / f"{host_id}.log" for host_id in berth.hosts)]:
        found[path.name] = [_line(path, text) for text in path.read_text().splitlines()]
    return found


def settled_lines(berth: Berth, trace: str) -> dict[str, list[dict[str, Any]]]:
    """The lines once the last of this request is written: frames are pushed before."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = lines_of(berth)
        told = [line.get("message") for line in found[FUNCTION_LOG] if line.get("trace") == trace]
        if "event applied" in told or time.monotonic() > ends:
            return found
        time.sleep(0.1)


def _line(path: Path, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        raise AssertionError(f"{path.name} has a line that is not JSON: {text[:300]}") from None
    assert isinstance(line, dict), text
    return line


def live(user: User) -> tuple[str, str, str]:
    """A container's whole life; its id, and the ids of the requests that made and ended it."""
    with user.subscribe() as socket:
        socket.send("nonsense")
        created = user.http.post("/containers", json={"image": "debian", "memory_mb": 256, "role": "barebone"})
        container_id = created.json()["id"]
        assert user.until(container_id, "running", "error")["status"] == "running"
        user.http.post(f"/containers/{container_id}/restart")
        user.http.post("/containers", content=b"{", headers={"Content-Type": "application/json"})
        httpx.get(f"{user.berth.url}/containers", headers={"Authorization": "Bearer nonsense"}, trust_env=False)
        deleted = user.http.delete(f"/containers/{container_id}")
        frames(socket, lambda frame: frame["type"] == "deleted")
    return container_id, created.headers["X-Request-Id"], deleted.headers["X-Request-Id"]


def test_every_line_is_json_with_its_keys_and_a_request_can_be_followed_through_all(berth: Berth, user: User) -> None:
    container_id, created, deleted = live(user)

    found = settled_lines(berth, deleted)

    assert len(found) == 2
    functions = found.pop(FUNCTION_LOG)
    [agent] = found.values()
    assert len(functions) > 10
    assert len(agent) > 3
    for line in functions + agent:
        assert "_aws" in line or {"level", "message", "service"} <= line.keys(), line
    for line in functions:
        assert "_aws" in line or line.get("function_request_id"), line
    for line in agent:
        assert line["host"] in berth.hosts, line

    measured = [line for line in functions if "_aws" in line]
    names = {each["Name"] for line in measured for each in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"QueueAge", "EventsApplied", "StageSeconds", "ReadySeconds", "Pushes", "DeadLetters"} <= names
    for line in measured:
        for name in line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]:
            assert re.fullmatch(r"[a-z_ ]{1,30}", line[name]), f"{name} of a measurement must be from a short list"

    for trace in (created, deleted):
        told = [line["message"] for line in functions + agent if line.get("trace") == trace]
        assert len(told) >= 4, told
    by_create = {line["message"] for line in functions if line.get("trace") == created}
    assert {"container accepted", "container placed", "event applied"} <= by_create
    assert "creation accepted" in {line["message"] for line in agent if line.get("trace") == created}
    assert "container removed" in {line["message"] for line in agent if line.get("trace") == deleted}
    removed = [line for line in functions if line.get("kind") == "removed" and line.get("container") == container_id]
    assert [line["trace"] for line in removed if line["message"] == "event applied"] == [deleted]
