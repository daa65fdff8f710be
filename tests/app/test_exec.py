"""`POST /containers/{id}/exec`, field by field, over fakes: nothing is asked of AWS here."""

from typing import Any

import pytest

from infra.apidocs import answers
from tests.fakes.world import ran
from tests.machines.served import Answer
from tests.security.callers import Street, street

ROUTE = "/containers/{container_id}/exec"


@pytest.fixture
def here() -> Street:
    return street()


def ask(here: Street, body: Any, caller: str = "owner", **headers: str) -> Answer:
    with here.served.on():
        return here.served(
            "POST", ROUTE, here.tokens[caller], path={"container_id": here.container_id}, body=body, headers=headers
        )


def called(here: Street) -> dict[str, Any]:
    """The one call that its host got."""
    [(_, call)] = here.served.world.agents.run_calls
    return call.model_dump()


def test_the_answer_is_as_published(here: Street) -> None:
    answer = ask(here, {"command": "echo hello"})

    assert answer.status == 200
    answers.CommandRan.model_validate(answer.body)
    assert answer.body == {
        "stdout": "hello\n", "stderr": "", "output": "hello\n", "exit_code": 0, "exitCode": 0, "duration_ms": 3,
        "truncated": False,
    }  # fmt: skip


def test_a_text_is_for_the_shell_and_what_is_absent_has_its_default(here: Street) -> None:
    ask(here, {"command": "echo $A"})

    call = called(here)
    assert call["command"] == ["/bin/sh", "-c", "echo $A"]
    assert (call["user"], call["workdir"], call["environment"], call["timeout_seconds"]) == (None, None, {}, 25)


@pytest.mark.parametrize("field", ["command", "cmd"])
def test_a_list_is_run_as_it_is(here: Street, field: str) -> None:
    body = {field: ["ls", "a b", ""], "user": "root", "workdir": "/srv", "env": {"A": "b"}, "timeout_seconds": 3}

    assert ask(here, body).status == 200

    call = called(here)
    assert call["command"] == ["ls", "a b", ""]
    assert (call["user"], call["workdir"], call["environment"], call["timeout_seconds"]) == (
        "root",
        "/srv",
        {"A": "b"},
        3,
    )


def test_null_means_absent(here: Street) -> None:
    body = {"command": "id", "cmd": None, "user": None, "workdir": None, "env": None, "timeout_seconds": None}

    assert ask(here, body).status == 200


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("command", {}),
        ("command", {"command": ""}),
        ("command", {"command": []}),
        ("command", {"command": [""]}),
        ("command", {"command": 3}),
        ("command", {"command": {"a": "b"}}),
        ("command", {"command": ["a", 3]}),
        ("command", {"command": "a\0b"}),
        ("command", {"command": "x" * 40_000}),
        ("command", {"command": ["x"] * 257}),
        ("cmd", {"cmd": []}),
        ("cmd", {"cmd": "ls"}),
        ("cmd", {"cmd": ["ls"], "command": "ls"}),
        ("user", {"command": "id", "user": "nobody"}),
        ("workdir", {"command": "id", "workdir": "srv"}),
        ("workdir", {"command": "id", "workdir": "/a\0b"}),
        ("workdir", {"command": "id", "workdir": "/" + "x" * 5000}),
        ("env", {"command": "id", "env": {"A=B": "c"}}),
        ("env.A", {"command": "id", "env": {"A": 3}}),
        ("env.A", {"command": "id", "env": {"A": "\0"}}),
        ("timeout_seconds", {"command": "id", "timeout_seconds": 26}),
        ("timeout_seconds", {"command": "id", "timeout_seconds": -1}),
        ("timeout_seconds", {"command": "id", "timeout_seconds": 1.5}),
        ("stdin", {"command": "id", "stdin": "x"}),
    ],
)
def test_what_is_wrong_is_named_and_runs_nothing(here: Street, field: str, body: dict[str, Any]) -> None:
    answer = ask(here, body)

    assert (answer.status, answer.body["code"], answer.body["field"]) == (400, "invalid_request", field), answer.body
    assert here.served.world.agents.run_calls == []


def test_a_token_needs_the_scope(here: Street) -> None:
    answer = ask(here, {"command": "id"}, "writer")

    assert answer.status == 403
    assert answer.body == {"error": "insufficient scope", "code": "insufficient_scope", "required": "exec"}


def test_a_command_that_took_too_long_is_a_504_with_what_it_printed(here: Street) -> None:
    here.served.world.agents.answer = ran(stdout="begun\n", exit_code=-1, duration_ms=3001, timed_out=True)

    answer = ask(here, {"command": "sleep 9", "timeout_seconds": 3})

    assert answer.status == 504
    assert answer.body == {
        "error": "exec timed out", "code": "command_timed_out", "timeout_s": 3, "stdout": "begun\n", "stderr": "",
        "output": "begun\n", "exit_code": -1, "exitCode": -1, "duration_ms": 3001, "truncated": False,
    }  # fmt: skip


def test_a_host_that_gives_no_answer_is_a_503_that_says_what_is_known(here: Street) -> None:
    here.served.world.agents.unreachable.add("host-1")

    answer = ask(here, {"command": "id"})

    assert (answer.status, answer.body["code"]) == (503, "host_silent")
    assert "may have run" in answer.body["message"]


def test_too_many_at_once_is_a_429_that_says_when_to_come_back(here: Street) -> None:
    here.served.world.agents.refusing["host-1"] = "busy"

    answer = ask(here, {"command": "id"})

    assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (429, "rate_limited", "1")
