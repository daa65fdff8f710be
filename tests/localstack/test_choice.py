"""Where LocalStack runs: its container or host mode, as wished, and why not the container where it cannot be had."""

import time
from pathlib import Path

import pytest

from infra.ground.engine import Engine
from infra.ground.registry import silent_registry
from infra.localstack import hosted
from infra.localstack.errors import CannotStart
from infra.localstack.image import IMAGE, ensure_image
from infra.localstack.running import VARIABLE, Way, running_localstack, wished
from tests.engines import say
from tests.localstack.conftest import ENVIRONMENT
from tests.localstack.sockets import listening
from tests.localstack.test_server import LOOPBACK

NOBODY = Engine("unix:///nowhere/docker.sock", owned=False, netns=None, version="")


def _children(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def test_host_mode_is_taken_and_said_where_no_engine_gives_the_image_and_nothing_of_it_remains(tmp_path: Path) -> None:
    said: list[str] = []

    with running_localstack(NOBODY, tmp_path / "one", ENVIRONMENT, said.append, Way.AUTO) as running:
        running.client("sqs").create_queue(QueueName="left")
        assert {address for address, _ in listening(running.pid)} == {LOOPBACK}
        processes = [running.pid, *_children(running.pid)]

    assert said[0].startswith(f"no registry answers for {IMAGE}")
    assert said[0].endswith(": host mode from pip")
    assert running.way == hosted.WAY
    assert not [each for each in processes if Path(f"/proc/{each}").exists()]
    assert not (tmp_path / "one").exists()


def test_a_container_that_is_asked_for_and_cannot_be_is_an_error(tmp_path: Path) -> None:
    wanted = running_localstack(NOBODY, tmp_path / "one", ENVIRONMENT, say, Way.CONTAINER)

    with pytest.raises(CannotStart, match=IMAGE), wanted:
        pass


def test_a_registry_that_refuses_or_says_nothing_is_not_waited_for(engine: Engine) -> None:
    began = time.monotonic()

    with silent_registry(engine) as address:
        for registry in (address, "127.0.0.1:9"):
            with pytest.raises(CannotStart, match="no registry answers"):
                ensure_image(engine, say, f"{registry}/localstack/localstack", quiet=2.0)

    assert time.monotonic() - began < 10


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "host")
    assert wished() is Way.HOST
    monkeypatch.setenv(VARIABLE, "cloud")
    with pytest.raises(CannotStart, match="auto, container, host"):
        wished()
