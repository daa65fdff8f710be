"""`infra.hostagent.engine.default_runtime`: what a real engine has is tried, and what works is taken."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.engine import default_runtime
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.ports import EngineDown, EngineRefused
from tests.aws import Aws
from tests.docker.agents import RunningAgent, agent_on, inspected

NOWHERE = "nonesuch"
"""A runtime that the engine takes nothing for: to a trial the same as one that breaks."""
QUICK_COMMANDS = 200


def chosen(engine: Engine, asked: str | None = None, known: tuple[str, ...] | None = None) -> str | None:
    found = known or DockerEngine(engine.url).facts().runtimes
    return default_runtime.default_runtime(engine.url, "trying", found, asked)


@pytest.fixture(autouse=True)
def _nothing_is_left(engine: Engine) -> Iterator[None]:
    yield
    client = engine.client()
    rows = client.api.containers(all=True)  # as listed: what others remove meanwhile cannot be looked at any more
    names = [name for row in rows for name in row["Names"] if name.startswith("/berth-trial-")]
    client.close()
    assert names == []


def test_the_quicker_one_is_taken_where_the_engine_has_it(engine: Engine) -> None:
    has = default_runtime.QUICKEST in DockerEngine(engine.url).facts().runtimes

    assert has or not engine.owned
    assert chosen(engine) == (default_runtime.QUICKEST if has else None)


def test_where_the_engine_does_not_have_it_the_choice_is_the_engines(engine: Engine) -> None:
    assert chosen(engine, known=("runc",)) is None


def test_one_that_does_not_work_is_not_taken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_runtime, "QUICKEST", NOWHERE)

    assert chosen(engine, known=("runc", NOWHERE)) is None


def test_what_is_asked_for_is_taken(engine: Engine) -> None:
    assert chosen(engine, "runc") == "runc"


def test_one_that_is_asked_for_and_not_there_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(EngineRefused, match=r"no runtime nonesuch, only .*runc"):
        chosen(engine, NOWHERE)


def test_one_that_is_asked_for_and_does_not_work_is_refused(engine: Engine) -> None:
    with pytest.raises(EngineRefused, match="nonesuch does not work here"):
        chosen(engine, NOWHERE, known=("runc", NOWHERE))


def test_a_trial_takes_the_place_of_one_that_was_left(engine: Engine) -> None:
    client = engine.client()
    client.containers.create(TINY, "true", name="berth-trial-trying")
    client.close()

    assert chosen(engine, "runc") == "runc"


def test_an_engine_that_is_down_is_not_taken_for_a_runtime_that_does_not_work() -> None:
    with pytest.raises(EngineDown):
        default_runtime.default_runtime("unix:///nowhere/docker.sock", "trying", ("crun", "runc"), None)


def test_an_agents_containers_are_run_with_it(agent: RunningAgent) -> None:
    assert runtime_of_a_container(agent) == (chosen(agent.engine) or "runc")


def test_an_agent_may_be_told_which(engine: Engine, queues: Aws, tmp_path: Path) -> None:
    with agent_on(engine, queues, tmp_path, "--default-runtime", "runc") as told:
        assert runtime_of_a_container(told) == "runc"


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_no_word_of_a_quick_command_is_lost(engine: Engine, queues: Aws, tmp_path: Path, runtime: str) -> None:
    """Three at a time, as they came to be lost by the SDK (ADR 0033)."""
    with agent_on(engine, queues, tmp_path, "--default-runtime", runtime) as told, ThreadPoolExecutor(3) as pool:
        spec = told.ready()

        def said(word: str) -> str:
            return str(told.run(spec, "echo", word).json()["stdout"])

        words = [f"word {number}" for number in range(QUICK_COMMANDS)]
        assert list(pool.map(said, words)) == [f"{word}\n" for word in words]


def runtime_of_a_container(agent: RunningAgent) -> str:
    spec = agent.ready()
    found = inspected(agent, spec.container_id)
    agent.remove(spec)
    return str(found["HostConfig"]["Runtime"])
