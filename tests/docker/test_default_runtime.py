"""`infra.hostagent.engine.default_runtime`: what is asked for is tried on a real engine before it is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.engine.default_runtime import default_runtime
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.ports import EngineDown, EngineRefused
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, inspected

NOWHERE = "nonesuch"
"""A runtime that the engine takes nothing for: to a trial the same as one that breaks."""


def chosen(engine: Engine, asked: str | None = None, known: tuple[str, ...] | None = None) -> str | None:
    found = known or DockerEngine(engine.url).facts().runtimes
    return default_runtime(engine.url, "trying", found, asked)


@pytest.fixture(autouse=True)
def _nothing_is_left(engine: Engine) -> Iterator[None]:
    yield
    client = engine.client()
    names = [each.name for each in client.containers.list(all=True) if each.name.startswith("berth-trial-")]
    client.close()
    assert names == []


def test_where_nothing_is_asked_for_the_choice_is_the_engines(engine: Engine) -> None:
    assert chosen(engine) is None


@pytest.mark.parametrize("name", ["runc", "crun"])
def test_what_is_asked_for_and_works_is_taken(engine: Engine, name: str) -> None:
    assert chosen(engine, name) == name


def test_one_that_is_not_there_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(EngineRefused, match=r"no runtime nonesuch, only .*runc"):
        chosen(engine, NOWHERE)


def test_one_that_does_not_work_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineRefused, match="nonesuch does not work here"):
        chosen(engine, NOWHERE, known=("runc", NOWHERE))


def test_a_trial_takes_the_place_of_one_that_was_left(engine: Engine) -> None:
    client = engine.client()
    client.containers.create(TINY, "true", name="berth-trial-trying")
    client.close()

    assert chosen(engine, "runc") == "runc"


def test_an_engine_that_is_down_is_not_taken_for_a_runtime_that_does_not_work() -> None:
    with pytest.raises(EngineDown):
        default_runtime("unix:///nowhere/docker.sock", "trying", ("crun", "runc"), "crun")


def test_an_agents_containers_are_run_with_what_the_engine_takes_of_itself(agent: RunningAgent) -> None:
    assert runtime_of_a_container(agent) == "runc"


def test_an_agent_may_be_told_which(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path, "--default-runtime", "crun") as told:
        assert runtime_of_a_container(told) == "crun"


def runtime_of_a_container(agent: RunningAgent) -> str:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    found = inspected(agent, spec.container_id)
    agent.delete(spec)
    agent.until(spec.container_id, "removed")
    return str(found["HostConfig"]["Runtime"])
