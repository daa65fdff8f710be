"""The agent on a real engine: what it holds is told, and only what the control plane does not want is removed (M9)."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.contract.agent_api import Holdings, Removal
from chalicelib.contract.causes import Code
from infra.ground.engine import Engine
from infra.ground.images import TINY
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, numbers


@pytest.fixture(scope="module")
def watchful(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent with a short grace."""
    options = ("--grace-seconds", "1", "--inventory-seconds", "1")
    with agent_on(engine, queues, tmp_path_factory.mktemp("watchful"), *options) as running:
        yield running


def run_with_labels(agent: RunningAgent, **labels: str) -> str:
    """A container that somebody made by hand; its engine id."""
    names = {f"berth.{name}": value for name, value in labels.items()}
    with contextlib.closing(agent.engine.client()) as client:
        return str(client.containers.run(TINY, ["sleep", "600"], detach=True, labels=names).id)


def exists(agent: RunningAgent, engine_id: str) -> bool:
    with contextlib.closing(agent.engine.client()) as client:
        return engine_id in [each.id for each in client.containers.list(all=True, ignore_removed=True)]


def test_an_agent_that_lost_its_journal_kills_nothing_and_takes_over_what_it_is_told_of(watchful: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    watchful.create(spec)
    last = watchful.until(spec.container_id, "ready")[-1]
    [before] = watchful.containers(spec.container_id)
    watchful.child.kill()
    for file in watchful.data.glob("journal.sqlite*"):
        file.unlink()
    watchful.start()

    [held, *_] = watchful.wait(lambda: [each for each in watchful.held(spec.container_id) if each.step is None])
    time.sleep(2)
    assert (held.user_id, held.generation, held.running) == (spec.user_id, 1, True)
    assert watchful.containers(spec.container_id)[0].status == "running"

    assert watchful.create(spec.model_copy(update={"number": last.number})).status_code == 202
    events = watchful.until(spec.container_id, "started")

    assert numbers(events) == list(range(1, len(events) + 1))
    [after] = watchful.containers(spec.container_id)
    assert (after.id, after.attrs["State"]["StartedAt"]) == (before.id, before.attrs["State"]["StartedAt"])
    assert watchful.inside(spec.container_id, "echo here") == "here\n"
    watchful.delete(spec)
    assert numbers(watchful.until(spec.container_id, "removed")) == list(range(1, len(events) + 2))
    assert not exists(watchful, str(before.id))


def test_a_container_that_somebody_made_with_our_labels_is_told_of_and_removed_when_told_so(
    watchful: RunningAgent,
) -> None:
    spec = a_spec()
    stray = run_with_labels(
        watchful, managed="true", host=watchful.host_id, container=spec.container_id, generation="1", user="nobody"
    )
    garbage = run_with_labels(watchful, managed="true", host=watchful.host_id, container="../../etc", generation="x")
    others = run_with_labels(watchful, managed="true", host="another-host", container=spec.container_id)
    name = f"stray-{garbage[:32]}"

    for container_id in (spec.container_id, name):
        watchful.wait(lambda container_id=container_id: watchful.held(container_id))
        assert watchful.held(container_id)[0].step is None
    assert exists(watchful, stray)
    assert exists(watchful, garbage)
    for container_id in (spec.container_id, name):
        removal = Removal(container_id=container_id, user_id="nobody", generation=1)
        answer = watchful.call("DELETE", f"/v1/containers/{container_id}", removal.model_dump_json().encode())
        assert answer.status_code == 202
        assert watchful.until(container_id, "removed")[-1].cause.code is Code.USER

    assert not exists(watchful, stray)
    assert not exists(watchful, garbage)
    assert exists(watchful, others)
    with contextlib.closing(watchful.engine.client()) as client:
        client.containers.get(others).remove(force=True)


def test_what_is_held_is_answered_as_it_is_on_the_engine(watchful: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    watchful.create(spec)
    watchful.until(spec.container_id, "ready")

    holdings = Holdings.model_validate_json(watchful.call("GET", "/v1/containers").text)

    [held] = [each for each in holdings.containers if each.container_id == spec.container_id]
    assert (held.user_id, held.step, held.running) == (spec.user_id, "ready", True)
    watchful.wait(lambda: [each for each in watchful.held(spec.container_id) if each.step == "ready"])
    watchful.delete(spec)


def test_a_container_that_is_placed_here_anew_is_made_after_its_removal(watchful: RunningAgent) -> None:
    old = a_spec(image=TINY)
    watchful.create(old)
    watchful.until(old.container_id, "ready")
    watchful.delete(old)
    watchful.until(old.container_id, "removed")
    assert watchful.create(old).json()["code"] == "tombstone"
    new = old.model_copy(update={"generation": 2})

    assert watchful.create(new).status_code == 202
    watchful.wait(lambda: [e for e in watchful.about(new.container_id) if e.kind == "ready" and e.generation == 2])
    watchful.delete(old)
    time.sleep(2)

    assert [each.status for each in watchful.containers(new.container_id)] == ["running"]
    watchful.delete(new)


def test_a_younger_container_is_nobodys_business_yet(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    options = ("--grace-seconds", "60", "--inventory-seconds", "1")
    with agent_on(engine, queues, tmp_path, *options) as agent:
        young = run_with_labels(agent, managed="true", host=agent.host_id, container="young", generation="1")
        time.sleep(3)
        agent.poll()

        assert agent.held("young") == []
        assert exists(agent, young)
