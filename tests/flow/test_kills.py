"""Processes killed in the middle of everything: what was promised is kept, and nothing is done twice."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.flow.conftest import QUICK, RATES, User

CREATES = 10
SETTLE_SECONDS = 150
"""A message whose function was killed is hidden for the queue's 60 s."""


@pytest.fixture(scope="module")
def berth(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    data = tmp_path_factory.mktemp("kills")
    settings = BerthSettings(data, environment=RATES, agent_options=QUICK, schedule_speed=20.0)
    with running_berth(settings, engine) as running:
        yield running


@pytest.fixture
def user(berth: Berth) -> Iterator[User]:
    made = berth.new_user("enterprise")
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False) as client:
        yield User(berth, made["user_id"], made["token"], client)


@contextlib.contextmanager
def killing(berth: Berth, functions: tuple[str, ...], seconds: float) -> Iterator[list[int]]:
    """SIGKILL a random worker of these functions every 100 ms for so long, while the block runs."""
    killed: list[int] = []
    ends = time.monotonic() + seconds

    def kill() -> None:
        while time.monotonic() < ends:
            pids = [pid for name, each in berth.cloud.pids().items() if name in functions for pid in each]
            if pids:
                killed.append(random.choice(pids))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)
            time.sleep(0.1)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    thread.join()


def eventually(found: Callable[[], object]) -> None:
    ends = time.monotonic() + SETTLE_SECONDS
    while not found():
        assert time.monotonic() < ends, "it never settled"
        time.sleep(0.5)


def on_engine(engine: Engine, container_ids: list[str]) -> list[str]:
    with contextlib.closing(engine.client()) as client:
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": "berth.managed=true"})
        labels = [container.labels["berth.container"] for container in found]
    return sorted(each for each in labels if each in container_ids)


def create(user: User) -> str:
    """As a client does whose connection breaks: again, with the same key, until it is answered."""
    key = f"key-{random.random()}"
    body = {"image": "debian", "memory_mb": 256, "cpu_shares": 250, "disk_mb": 1024, "role": "barebone"}
    while True:
        answer = user.http.post("/containers", json=body, headers={"Idempotency-Key": key})
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert answer.status_code in (500, 502, 503), answer.text


def delete(user: User, container_id: str) -> None:
    while True:
        status = user.http.delete(f"/containers/{container_id}").status_code
        if status in (200, 404):
            return
        assert status in (500, 502, 503)


def test_functions_killed_in_the_middle_lose_nothing_and_double_nothing(
    berth: Berth, user: User, engine: Engine
) -> None:
    functions = ("api_handler", "provision", "status", "sweep")
    with killing(berth, functions, 6) as killed:
        ids = [create(user) for _ in range(CREATES)]
    assert len(killed) > 20
    assert len(set(ids)) == CREATES

    eventually(lambda: user.http.get("/containers?status=running").json()["count"] == CREATES)

    assert on_engine(engine, ids) == sorted(ids)
    assert user.http.get("/containers").json()["count"] == CREATES
    [host] = berth.operator("list-hosts")["hosts"]
    assert host["containers"] == CREATES
    for container_id in ids:
        log = user.http.get(f"/containers/{container_id}/events").json()
        assert [event["seq"] for event in log["events"]] == list(range(1, log["last_seq"] + 1))
        assert log["events"][-1]["container"]["status"] == "running"

    with killing(berth, functions, 6):
        for container_id in ids:
            delete(user, container_id)

    eventually(lambda: on_engine(engine, ids) == [])
    eventually(lambda: berth.operator("list-hosts")["hosts"][0]["containers"] == 0)
    assert user.http.get("/containers").json()["count"] == 0
    for container_id in ids:
        assert user.http.get(f"/containers/{container_id}/events").json()["events"][-1]["type"] == "deleted"
