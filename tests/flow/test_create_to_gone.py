"""The main job: POST, 202, a real container, every stage on the socket, gone when deleted."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from infra.ground.engine import Engine
from tests.flow.conftest import User, frames
from tests.inside import run_in


def inside(engine: Engine, engine_id: str, command: str) -> str:
    with contextlib.closing(engine.client()) as client:
        return run_in(client.api, engine_id, ["sh", "-c", command]).output.decode()


def exists(engine: Engine, engine_id: str) -> bool:
    with contextlib.closing(engine.client()) as client:
        try:
            client.containers.get(engine_id)
        except docker.errors.NotFound:
            return False
        return True


def test_a_container_comes_up_with_every_stage_in_order_and_goes(user: User, engine: Engine) -> None:
    with user.subscribe() as socket:
        [first] = frames(socket, lambda frame: True)
        created = user.create(name="web", environment={"GREETING": "hello"})
        heard = frames(socket, lambda frame: frame["type"] == "updated")
        user.http.delete(f"/containers/{created['id']}")
        [gone] = frames(socket, lambda frame: frame["type"] == "deleted")

    assert first == {
        "type": "list",
        "container": {"containers": [], "count": 0, "limit": 5},
        "timestamp": first["timestamp"],
    }
    assert [frame["seq"] for frame in [*heard, gone]] == list(range(1, len(heard) + 2))
    stages = [frame["container"]["stage"] for frame in heard if frame["type"] == "progress"]
    assert list(dict.fromkeys(stages)) == [
        "validating",
        "pulling",
        "creating",
        "starting",
        "configuring",
        "ready",
    ]
    percents = [frame["container"]["progress"] for frame in heard if frame["type"] == "progress"]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (10, 100)
    assert [frame["type"] for frame in heard].count("created") == 1
    ready = heard[-2]["container"]
    assert (ready["stage"], ready["complete"]) == ("ready", True)
    assert ready["container"]["status"] == "running"
    assert heard[-1]["container"]["status"] == "running"
    assert gone["container"]["id"] == created["id"]
    assert gone["container"]["reason"] == "user"
    assert not exists(engine, ready["container_id"])
    assert user.http.get(f"/containers/{created['id']}").status_code == 404


def test_a_running_container_is_a_real_limited_linux(user: User, engine: Engine) -> None:
    created = user.create(name="real", memory_mb=300, environment={"GREETING": "hello"}, labels={"team": "a"})

    item = user.until(created["id"], "running")

    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert inside(engine, item["container_id"], script).strip() == str(300 * 1024 * 1024)
    assert inside(engine, item["container_id"], "hostname; echo $GREETING").split() == ["real", "hello"]
    assert item["started_at"] >= item["created_at"]
    assert item["last_seq"] >= 8


def test_the_engine_id_and_its_prefix_name_the_container_too(user: User) -> None:
    created = user.create()
    engine_id = user.until(created["id"], "running")["container_id"]

    for reference in (engine_id, engine_id[:12]):
        assert user.http.get(f"/containers/{reference}").json()["id"] == created["id"]
    assert user.http.get(f"/containers/{engine_id[:11]}").status_code == 404
    assert user.http.delete(f"/containers/{engine_id[:12]}").status_code == 200


def test_a_long_poll_waits_for_the_status(user: User) -> None:
    created = user.create()

    item = user.http.get(f"/containers/{created['id']}?wait=running&timeout=25").json()

    assert item["status"] == "running"


def test_delete_wins_over_a_create_in_flight(user: User, engine: Engine) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        for _ in range(4):
            created = user.create()
            assert user.http.delete(f"/containers/{created['id']}").status_code == 200
            assert user.http.get(f"/containers/{created['id']}").status_code == 404
            heard = frames(socket, lambda frame: frame["type"] == "deleted")
            assert heard[-1]["container"]["id"] == created["id"]
            assert "updated" not in [frame["type"] for frame in heard]

    with contextlib.closing(engine.client()) as client:
        left = client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"berth.container={created['id']}"}
        )
    assert left == []


def test_fifty_at_once_against_a_limit_of_five_give_five(user: User) -> None:
    barrier = threading.Barrier(50)

    def create(_number: int) -> int:
        barrier.wait()
        return user.http.post("/containers", json={"image": "debian", "memory_mb": 256, "role": "barebone"}).status_code

    with ThreadPoolExecutor(50) as pool:
        answers = Counter(pool.map(create, range(50)))

    assert answers == {202: 5, 403: 45}
    assert user.http.get("/containers").json()["count"] == 5


def test_fifty_at_once_with_one_name_give_one(new_user: Callable[..., User]) -> None:
    user = new_user("enterprise")
    barrier = threading.Barrier(50)

    def create(_number: int) -> int:
        barrier.wait()
        body = {"image": "debian", "memory_mb": 256, "name": "one", "role": "barebone"}
        return user.http.post("/containers", json=body).status_code

    with ThreadPoolExecutor(50) as pool:
        answers = Counter(pool.map(create, range(50)))

    assert answers == {202: 1, 409: 49}


def test_a_retried_post_with_a_key_gives_one_container(user: User) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"image": "debian", "memory_mb": 256, "role": "barebone"}

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: user.http.post("/containers", json=body, headers=headers), range(10)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers].count("true") == 9
    assert user.http.get("/containers").json()["count"] == 1


def test_two_users_never_see_each_other(new_user: Callable[..., User]) -> None:
    ann, bob = new_user(), new_user()
    with ann.subscribe() as hers, bob.subscribe() as his:
        frames(hers, lambda frame: True)
        frames(his, lambda frame: True)
        container = ann.create(name="mine")
        frames(hers, lambda frame: frame["type"] == "updated")
        his.send('{"type":"list"}')

        heard = frames(his, lambda frame: True)

    assert heard[0]["type"] == "list"
    assert heard[0]["container"]["containers"] == []
    for method in ("GET", "DELETE"):
        assert bob.http.request(method, f"/containers/{container['id']}").status_code == 404
    assert ann.http.get(f"/containers/{container['id']}").status_code == 200


def test_no_secret_reaches_the_logs(user: User, logs: Any) -> None:
    secret = "hunter2-canary-7c1f"
    created = user.create(environment={"PASSWORD": secret})
    user.until(created["id"], "running")

    written = "".join(file.read_text(errors="replace") for file in logs.iterdir())

    assert secret not in written
    assert user.token not in written
    assert created["id"] in written
