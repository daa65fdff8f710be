"""Containers started ahead, from POST to gone: a client sees what it always sees, sooner."""

import contextlib
import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.sync.client import connect

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.flow.conftest import PATIENCE_SECONDS, QUICK, RATES, User, frames


@pytest.fixture(scope="module")
def keen(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    options = (*QUICK, "--warm-memory", "64")
    settings = BerthSettings(tmp_path_factory.mktemp("keen"), environment=RATES, agent_options=options)
    with running_berth(settings, engine) as berth:
        yield berth


def a_user(keen: Berth) -> User:
    made = keen.new_user("pro")
    headers = {"Authorization": f"Bearer {made['token']}"}
    return User(keen, made["user_id"], made["token"], httpx.Client(base_url=keen.url, headers=headers, trust_env=False))


def waiting(engine: Engine, keen: Berth) -> set[str]:
    """Engine ids of what its host keeps ready."""
    wanted = {"label": f"berth.host={next(iter(keen.hosts))}", "name": "^/berth-warm-", "status": "running"}
    with contextlib.closing(engine.client()) as client:
        return {str(each["Id"]) for each in client.api.containers(filters=wanted)}


def come_and_gone(user: User) -> None:
    container_id = user.create()["id"]
    user.until(container_id, "running")
    user.http.delete(f"/containers/{container_id}")


def kept_ready(keen: Berth, engine: Engine) -> set[str]:
    """Engine ids of what its host keeps ready, once that is all it will keep."""
    others = a_user(keen)
    for _ in range(2):
        come_and_gone(others)
    ends = time.monotonic() + PATIENCE_SECONDS
    while len(ready := waiting(engine, keen)) < 2:
        assert time.monotonic() < ends, "nothing is kept ready"
        time.sleep(0.2)
    time.sleep(1.0)  # the last has its way in by then
    return ready


def test_who_asks_for_what_others_asked_for_gets_one_that_runs_already(keen: Berth, engine: Engine) -> None:
    user = a_user(keen)
    ready = kept_ready(keen, engine)

    with user.subscribe() as socket:
        frames(socket, lambda frame: frame["type"] == "list")
        created = user.create(name="mine", labels={"team": "red"})
        heard = frames(socket, lambda frame: frame["type"] == "updated")
        asked = {"command": ["sh", "-c", "hostname; id -un"]}
        said = user.http.post(f"/containers/{created['id']}/exec", json=asked).json()["stdout"]
        item = user.http.get(f"/containers/{created['id']}").json()
        user.http.delete(f"/containers/{created['id']}")
        frames(socket, lambda frame: frame["type"] == "deleted")

    assert [frame["seq"] for frame in heard] == list(range(1, len(heard) + 1))
    told = [frame["container"]["stage"] if frame["type"] == "progress" else frame["type"] for frame in heard]
    assert list(dict.fromkeys(told)) == [
        "validating", "pulling", "creating", "created", "starting", "configuring", "ready", "updated",
    ]  # fmt: skip
    assert item["container_id"] in ready
    assert (item["name"], item["labels"]) == ("mine", {"team": "red"})
    assert said.split() == ["mine", "user"]
    assert user.http.get("/containers").json()["count"] == 0


def test_commands_and_terminals_in_it_have_the_variables_that_were_asked_for(keen: Berth, engine: Engine) -> None:
    user = a_user(keen)
    ready = kept_ready(keen, engine)

    created = user.create(environment={"GREETING": "hello"})
    item = user.until(created["id"], "running")
    asked = {"command": ["sh", "-c", "echo $GREETING $MINE"], "env": {"MINE": "me"}}
    said = user.http.post(f"/containers/{created['id']}/exec", json=asked).json()["stdout"]
    url = keen.url.replace("http", "ws", 1).removesuffix("/api") + f"/ws/terminal/{created['id']}?raw=1"
    typed = ""
    with connect(url, additional_headers={"Authorization": f"Bearer {user.token}"}, proxy=None) as socket:
        socket.send("echo $GREETING-$((6*7))\r")
        while "hello-42" not in typed:
            printed = socket.recv(timeout=PATIENCE_SECONDS)
            typed += printed if isinstance(printed, str) else printed.decode(errors="replace")
    user.delete_all()

    assert item["container_id"] in ready
    assert said == "hello me\n"
