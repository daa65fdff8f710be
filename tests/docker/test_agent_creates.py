"""The agent on a real engine: creations, pulls, failures and removals, told of in order."""

import contextlib
import time
from pathlib import Path

import pytest

from chalicelib.contract.causes import Code
from chalicelib.contract.signatures import new_private_key
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry, silent_registry
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, numbers


def test_a_creation_is_told_of_step_by_step_without_a_gap(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)

    began = time.monotonic()
    answer = agent.create(spec)

    assert answer.status_code == 202
    assert time.monotonic() - began < 1
    events = agent.until(spec.container_id, "ready")
    assert [event.kind for event in events] == ["progress", "progress", "created", "progress", "progress", "ready"]
    assert numbers(events) == [1, 2, 3, 4, 5, 6]
    assert [event.progress for event in events if event.kind == "progress"] == [60, 65, 75, 90]
    assert events[2].engine_id == events[-1].engine_id
    [container] = agent.containers(spec.container_id)
    assert container.id == events[-1].engine_id
    assert container.status == "running"


def test_the_same_call_again_changes_nothing(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    for _ in range(3):
        assert agent.create(spec).status_code == 202
    agent.until(spec.container_id, "ready")

    assert agent.create(spec).status_code == 202
    time.sleep(1)
    agent.poll()

    assert numbers(agent.about(spec.container_id)) == [1, 2, 3, 4, 5, 6]
    assert len(agent.containers(spec.container_id)) == 1


def test_a_deleted_container_is_gone_and_never_comes_back(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    assert agent.delete(spec).status_code == 202
    removed = agent.until(spec.container_id, "removed")[-1]

    assert (removed.number, removed.cause.code) == (7, Code.USER)
    assert agent.containers(spec.container_id) == []
    again = agent.create(spec)
    assert (again.status_code, again.json()["code"]) == (409, "tombstone")


def test_deleting_what_was_never_there_is_told_as_removed(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)

    assert agent.delete(spec).status_code == 202

    assert agent.until(spec.container_id, "removed")[-1].number == 1


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.15, 0.3, 0.5])
def test_delete_wins_at_every_step_of_a_creation(agent: RunningAgent, pause: float) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    time.sleep(pause)

    agent.delete(spec)

    events = agent.until(spec.container_id, "removed")
    assert numbers(events) == list(range(1, len(events) + 1))
    time.sleep(0.5)
    agent.poll()
    assert agent.about(spec.container_id)[-1].kind == "removed"
    assert agent.containers(spec.container_id) == []


def test_a_newer_generation_replaces_an_older_one_and_never_the_other_way(agent: RunningAgent) -> None:
    old = a_spec(image=TINY)
    agent.create(old)
    agent.until(old.container_id, "ready")
    new = old.model_copy(update={"generation": 2})

    agent.create(new)
    agent.wait(lambda: [e for e in agent.about(old.container_id) if e.kind == "ready" and e.generation == 2])
    agent.wait(lambda: len(agent.containers(old.container_id)) == 1)

    stale = agent.create(old)
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_generation")


def test_a_pull_from_a_registry_is_told_by_bytes(agent: RunningAgent, layered: str) -> None:
    spec = a_spec(image=layered)

    agent.create(spec)

    events = agent.until(spec.container_id, "ready")
    percents = [event.progress for event in events if event.kind == "progress" and event.stage == "pulling"]
    assert percents == sorted(percents)
    assert percents[0] == 15
    assert percents[-1] == 60
    assert len(set(percents)) >= 4
    assert numbers(events) == list(range(1, len(events) + 1))


def test_three_who_wait_for_one_image_share_its_pull(agent: RunningAgent, registry: Registry, engine: Engine) -> None:
    reference = registry.hold(TINY, f"berth-test/shared:{time.time_ns()}")
    specs = [a_spec(image=reference) for _ in range(3)]

    for spec in specs:
        agent.create(spec)

    for spec in specs:
        assert agent.until(spec.container_id, "ready")


def test_an_image_that_does_not_exist_fails_with_a_reason_and_leaves_nothing(
    agent: RunningAgent, registry: Registry
) -> None:
    spec = a_spec(image=f"{registry.address}/no/such:1")

    agent.create(spec)

    failed = agent.until(spec.container_id, "failed")[-1]
    assert failed.cause.code is Code.IMAGE_NOT_FOUND
    assert spec.image in failed.cause.message
    assert agent.containers(spec.container_id) == []


def test_a_registry_that_never_answers_is_given_up(agent: RunningAgent, engine: Engine) -> None:
    with silent_registry(engine) as address:
        spec = a_spec(image=f"{address}/silent/image:1")
        began = time.monotonic()
        agent.create(spec)
        failed = agent.until(spec.container_id, "failed")[-1]

    assert failed.cause.code is Code.IMAGE_TIMEOUT
    assert time.monotonic() - began < 20


def test_a_registry_that_cannot_be_reached_is_told(agent: RunningAgent) -> None:
    spec = a_spec(image="127.0.0.1:5999/nobody/there:1")

    agent.create(spec)

    assert agent.until(spec.container_id, "failed")[-1].cause.code is Code.IMAGE_TIMEOUT


def test_a_container_does_not_outlive_its_session(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, expires_in_seconds=3.0)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    removed = agent.until(spec.container_id, "removed")[-1]

    assert removed.cause.code is Code.EXPIRED
    assert agent.containers(spec.container_id) == []


def test_containers_of_others_are_left_alone(agent: RunningAgent, engine: Engine) -> None:
    with contextlib.closing(engine.client()) as client:
        other = client.containers.run(TINY, ["sleep", "60"], detach=True, labels={"team": "other"})
        time.sleep(2.5)
        other.reload()
        status = other.status
        other.remove(force=True)

    assert status == "running"


def test_calls_that_are_not_signed_for_us_are_refused(agent: RunningAgent) -> None:
    body = a_spec(image=TINY)
    path = f"/v1/containers/{body.container_id}"
    raw = body.model_dump_json().encode()
    wrong: list[dict[str, object]] = [
        {"host_id": "another-host"},
        {"method": "DELETE"},
        {"path": path + "x"},
        {"body": raw + b" "},
        {"issued_at": int(time.time()) - 120},
        {"private_pem": new_private_key()},
    ]

    for changes in wrong:
        assert agent.call("PUT", path, raw, **changes).status_code == 401, changes
    assert agent.call("GET", "/v1/containers", call_id="same").status_code == 200
    assert agent.call("GET", "/v1/containers", call_id="same").status_code == 401
    assert agent.containers(body.container_id) == []


def test_heartbeats_say_what_the_host_offers(agent: RunningAgent) -> None:
    report = agent.wait(lambda: agent.heartbeats)[-1].report

    assert report.engine_up
    assert report.development
    assert report.disk_limited
    assert report.memory_mb > 0
    assert report.endpoint == f"http://127.0.0.1:{agent.port}"


def test_a_host_offers_its_disk_as_often_as_its_operator_says(
    agent: RunningAgent, engine: Engine, queues: Aws, tmp_path: Path
) -> None:
    once = agent.wait(lambda: agent.heartbeats)[-1].report.disk_mb
    with agent_on(engine, queues, tmp_path, "--disk-overcommit", "10") as generous:
        offered = generous.wait(lambda: generous.heartbeats)[-1].report.disk_mb

    assert 5 * once < offered < 20 * once  # other tests write meanwhile


def test_an_agent_that_stops_leaves_nothing_when_told_so(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path) as agent:
        spec = a_spec(image=TINY)
        agent.create(spec)
        agent.until(spec.container_id, "ready")

    assert agent.containers() == []
    with contextlib.closing(engine.client()) as client:
        assert client.networks.list(names=[f"berth-{agent.host_id}"]) == []


def test_an_old_engine_taken_all_the_same_shows_in_every_heartbeat(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path / "dev") as agent:
        reported = agent.wait(lambda: agent.heartbeats)[-1].report

    assert reported.development


def test_an_engine_that_goes_down_fails_what_is_in_flight_and_refuses_more(queues: Aws, tmp_path: Path) -> None:
    from infra.ground.engine import PrivateEngine
    from infra.ground.images import BaseImages
    from tests.engines import CACHE, say

    private = PrivateEngine(tmp_path / "engine")
    engine = private.start(say)
    try:
        with contextlib.closing(engine.client()) as client:
            BaseImages(client, CACHE, say).ensure_tiny()
        with agent_on(engine, queues, tmp_path / "agent", "--engine-patience-seconds", "1") as agent:
            private.stop()
            caught = a_spec(image=TINY)
            first = agent.create(caught)
            if first.status_code == 202:
                assert agent.until(caught.container_id, "failed")[-1].cause.code is Code.ENGINE_ERROR
            refused = agent.wait(lambda: (answer := agent.create(a_spec(image=TINY))).status_code == 503 and answer)
            assert refused.json()["code"] == "engine_down"
            agent.wait(lambda: not agent.heartbeats[-1].report.engine_up)

            private.start(say)

            later = a_spec(image=TINY)
            agent.wait(lambda: agent.create(later).status_code == 202)
            agent.until(later.container_id, "ready")
    finally:
        private.stop()
