"""Two hosts: containers spread, an operator drains one and sees what runs where."""

from collections.abc import Iterator

import httpx
import pytest

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.flow.conftest import QUICK, RATES, User

SMALL = {"memory_mb": 256, "cpu_shares": 250, "disk_mb": 1024}


@pytest.fixture(scope="module")
def two(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    data = tmp_path_factory.mktemp("two")
    settings = BerthSettings(data, hosts=2, environment=RATES, agent_options=QUICK, schedule_speed=60.0)
    with running_berth(settings, engine) as berth:
        yield berth


@pytest.fixture
def user(two: Berth) -> Iterator[User]:
    made = two.new_user("enterprise")
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=two.url, headers=headers, timeout=40, trust_env=False) as client:
        user = User(two, made["user_id"], made["token"], client)
        yield user
        user.delete_all()


def on(two: Berth, host_id: str) -> set[str]:
    return {row["id"] for row in two.operator("list-containers", host_id)["containers"]}


def test_containers_spread_and_a_drained_host_gets_no_more(two: Berth, user: User) -> None:
    one, other = two.hosts
    first = {user.create(**SMALL)["id"] for _ in range(8)}
    for container_id in first:
        user.until(container_id, "running")
    spread = [on(two, one), on(two, other)]
    assert spread[0] | spread[1] == first
    assert spread[0] & spread[1] == set()
    assert min(len(each) for each in spread) >= 1

    assert two.operator("drain-host", one) == {"host_id": one, "draining": True}
    later = {user.create(**SMALL)["id"] for _ in range(4)}
    for container_id in later:
        user.until(container_id, "running")

    assert on(two, one) == spread[0]
    assert on(two, other) == spread[1] | later
    takes = {row["host_id"]: row["takes_containers"] for row in two.operator("list-hosts")["hosts"]}
    assert takes == {one: False, other: True}
    two.operator("drain-host", one, "--undo")


def test_an_agent_that_is_killed_is_not_missed_by_the_other(two: Berth, user: User) -> None:
    _, other = two.hosts
    two.hosts[other].lose()

    created = [user.create(**SMALL)["id"] for _ in range(2)]

    statuses = {container_id: user.http.get(f"/containers/{container_id}").json()["status"] for container_id in created}
    assert set(statuses.values()) <= {"creating", "running"}
    two.operator("drain-host", other)
    for container_id in created:
        user.http.delete(f"/containers/{container_id}")
    assert user.until(user.create(**SMALL)["id"], "running")["status"] == "running"
