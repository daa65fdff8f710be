"""Berth on the local cloud with a real engine, and real HTTP and WebSocket clients."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from infra.local.calls import VARIABLE
from tests.deploy.policies import calls_in, refused
from tests.engines import DATA

RATES = {
    "BERTH_CREATES_PER_SECOND": "10000",
    "BERTH_CREATES_PER_MINUTE": "10000",
    "BERTH_GUESTS_PER_DAY": "1000",
    "BERTH_REQUESTS_PER_MINUTE": "100000",
    "BERTH_UNAUTHENTICATED_PER_MINUTE": "100000",
    "BERTH_PULLS_PER_HOUR": "1000",
}
QUICK = ("--look-seconds", "1", "--heartbeat-seconds", "2", "--pull-seconds", "5")
PATIENCE_SECONDS = 60
SHELL_SECONDS = 600.0


AS_IT_IS = {"image": "debian:bookworm", "memory_mb": 256, "role": "barebone"}
"""An image as it is: where the shell is not the point, nothing is prepared."""


@dataclass
class User:
    """One user with a token."""

    berth: Berth
    id: str
    token: str
    http: httpx.Client

    def create(self, **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/containers", json=AS_IT_IS | fields)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def delete_all(self) -> None:
        for item in self.http.get("/containers").json()["containers"]:
            self.http.delete(f"/containers/{item['id']}")

    def subscribe(self, **options: Any) -> ClientConnection:
        options.setdefault("additional_headers", {"Authorization": f"Bearer {self.token}"})
        return connect(self.berth.socket_url, proxy=None, **options)

    def until(self, container_id: str, *statuses: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The Item once it has one of the statuses."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            item = dict(self.http.get(f"/containers/{container_id}").json())
            if item.get("status") in statuses:
                return item
            time.sleep(0.05)
        raise AssertionError(f"{container_id} never came to {statuses}: {item}")


def frames(socket: ClientConnection, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All frames up to the one meant."""
    heard = []
    while True:
        heard.append(json.loads(socket.recv(timeout=PATIENCE_SECONDS)))
        if until(heard[-1]):
            return heard


@pytest.fixture(scope="session")
def berth(engine: Engine) -> Iterator[Berth]:
    calls = DATA / "flow" / "calls.jsonl"
    calls.unlink(missing_ok=True)
    environment = RATES | {VARIABLE: str(calls)}
    settings = BerthSettings(data=DATA / "flow", environment=environment, agent_options=QUICK, schedule_speed=20.0)
    with running_berth(settings, engine) as running:
        yield running
    assert refused(calls_in(calls)) == set(), "functions made calls that their policies do not allow"


@pytest.fixture
def new_user(berth: Berth) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def make(tier: str = "free") -> User:
        made = berth.new_user(tier)
        headers = {"Authorization": f"Bearer {made['token']}"}
        http = httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False)
        users.append(User(berth, made["user_id"], made["token"], http))
        return users[-1]

    yield make
    for user in users:
        user.delete_all()
        user.http.close()


@pytest.fixture
def user(new_user: Callable[..., User]) -> User:
    return new_user()


@pytest.fixture(scope="session")
def shell(berth: Berth) -> None:
    """From here on the host has the image with the shell that whoever asks for nothing special gets."""
    made = berth.new_user("pro")
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False) as http:
        user = User(berth, made["user_id"], made["token"], http)
        ends = time.monotonic() + SHELL_SECONDS
        while True:
            container_id = user.create(role="")["id"]
            item = user.until(container_id, "running", "error", seconds=SHELL_SECONDS)
            http.delete(f"/containers/{container_id}")
            if item["status"] == "running":
                return
            # On a slow machine the first is given up; its image is built all the same.
            assert item["error"]["code"] == "timeout", item
            assert time.monotonic() < ends


@pytest.fixture
def logs(berth: Berth) -> Path:
    return DATA / "flow" / "logs"
