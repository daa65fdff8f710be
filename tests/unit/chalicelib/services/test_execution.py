"""Commands in containers, from caller to host and back, over fakes."""

from typing import Any

import pytest

from chalicelib.contract.agent_api import ExecUser, RefusalCode
from chalicelib.contract.commands import Create, Delete
from chalicelib.contract.events import Ready, Stopped
from chalicelib.domain.errors import Busy, CommandTimedOut, HostSilent, NotFound, RateLimited, StatusConflict
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from chalicelib.services.execution import CommandRequest
from tests.builders import NOW, a_caller, a_cause
from tests.fakes.world import World, ran

ENGINE_ID = "e" * 64
WISH = ContainerRequest(image=choose_image("debian", None), memory_mb=256, cpu_shares=250, disk_mb=1024)


def a_command(**changes: Any) -> CommandRequest:
    values: dict[str, Any] = {"user": None, "workdir": None, "environment": {}, "timeout_seconds": 5}
    return CommandRequest(**({"command": ("echo", "hello")} | values | changes))


class Home:
    """A world with one running container of the caller."""

    def __init__(self) -> None:
        self.world = World()
        self.caller = a_caller()
        self.id = str(self.world.lifecycle.create(self.caller, WISH, None).body["id"])
        self.ids = {"container_id": self.id, "user_id": self.caller.user_id}
        self.world.provisioning.carry_out(Create(**self.ids), 1)
        ready = Ready(**self.ids, generation=1, number=1, at=NOW, engine_id=ENGINE_ID, started_at=NOW)
        self.world.from_host(ready)

    def run(self, **changes: Any) -> dict[str, Any]:
        return self.world.execution.run(self.caller, self.id, a_command(**changes))


@pytest.fixture
def home() -> Home:
    return Home()


def test_the_containers_host_is_called_and_its_answer_given(home: Home) -> None:
    home.world.agents.answer = ran(stdout="a", stderr="b", exit_code=3, truncated=True)

    body = home.run(user=ExecUser.ROOT, workdir="/srv", environment={"A": "b"})

    assert body == {
        "stdout": "a", "stderr": "b", "output": "ab", "exit_code": 3, "exitCode": 3, "duration_ms": 3, "truncated": True
    }  # fmt: skip
    [(host_id, call)] = home.world.agents.run_calls
    assert host_id == "host-1"
    assert call.model_dump() == {
        **home.ids, "trace": "", "generation": 1, "command": ["echo", "hello"], "user": "root", "workdir": "/srv",
        "environment": {"A": "b"}, "timeout_seconds": 5,
    }  # fmt: skip


def test_a_command_whose_time_was_over_says_what_it_printed(home: Home) -> None:
    home.world.agents.answer = ran(stdout="begun", exit_code=-1, timed_out=True)

    with pytest.raises(CommandTimedOut) as refusal:
        home.run()

    assert refusal.value.extra["timeout_s"] == 5
    assert (refusal.value.extra["stdout"], refusal.value.extra["exit_code"]) == ("begun", -1)


def test_only_what_runs_is_asked(home: Home) -> None:
    world = home.world
    creating = str(world.lifecycle.create(home.caller, WISH, None).body["id"])
    world.from_host(Stopped(**home.ids, generation=1, number=2, at=NOW, cause=a_cause()))

    for container_id, status in ((creating, "creating"), (home.id, "stopped")):
        with pytest.raises(StatusConflict) as refusal:
            world.execution.run(home.caller, container_id, a_command())
        assert refusal.value.extra["status"] == status
    assert world.agents.run_calls == []


def test_what_is_gone_or_anothers_is_not_there(home: Home) -> None:
    with pytest.raises(NotFound):
        home.world.execution.run(a_caller(user_id="other"), home.id, a_command())
    home.world.lifecycle.delete(home.caller, home.id)
    with pytest.raises(NotFound):
        home.run()
    assert isinstance(home.world.commands.messages[-1], Delete)
    assert home.world.agents.run_calls == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (RefusalCode.BUSY, RateLimited),
        (RefusalCode.UNKNOWN, StatusConflict),
        (RefusalCode.ENGINE_DOWN, Busy),
    ],
)
def test_a_hosts_no_is_told_as_what_it_is(home: Home, code: str, error: type[Exception]) -> None:
    home.world.agents.refusing["host-1"] = code

    with pytest.raises(error):
        home.run()


def test_a_silent_host_is_asked_once_and_said_to_be_silent(home: Home) -> None:
    home.world.agents.unreachable.add("host-1")

    with pytest.raises(HostSilent):
        home.run()
