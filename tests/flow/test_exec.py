"""Commands through the whole road: client, gateway, function, agent, engine and back."""

import threading
from collections.abc import Callable

import pytest

from tests.flow.conftest import User


@pytest.fixture
def running(new_user: Callable[..., User]) -> tuple[User, str]:
    """A user and the id of a container that runs."""
    user = new_user()
    container_id = str(user.create()["id"])
    user.until(container_id, "running")
    return user, container_id


def test_a_command_sees_the_container_and_its_output_comes_back(running: tuple[User, str]) -> None:
    user, container_id = running

    answer = user.http.post(
        f"/containers/{container_id}/exec",
        json={"command": "hostname; echo $WORD >&2; exit 3", "env": {"WORD": "grüße"}, "user": "root"},
    )

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["stdout"], body["stderr"]) == (f"{user.until(container_id, 'running')['name']}\n", "grüße\n")
    assert (body["exit_code"], body["exitCode"], body["truncated"]) == (3, 3, False)


def test_a_megabyte_comes_back_and_more_is_cut(running: tuple[User, str]) -> None:
    user, container_id = running

    answer = user.http.post(f"/containers/{container_id}/exec", json={"command": "head -c 2000000 /dev/urandom"})

    assert answer.status_code == 200
    assert answer.json()["truncated"]
    assert answer.json()["exit_code"] == 0


def test_a_command_that_takes_too_long_is_a_504_with_what_it_printed(running: tuple[User, str]) -> None:
    user, container_id = running
    body = {"command": "echo begun; sleep 100", "timeout_seconds": 10}

    answer = user.http.post(f"/containers/{container_id}/exec", json=body)

    assert (answer.status_code, answer.json()["code"]) == (504, "command_timed_out")
    assert (answer.json()["stdout"], answer.json()["exit_code"]) == ("begun\n", -1)


def test_nobody_else_runs_commands_in_it_nor_in_what_does_not_run(
    running: tuple[User, str], new_user: Callable[..., User]
) -> None:
    user, container_id = running
    path, body = f"/containers/{container_id}/exec", {"command": "id"}

    assert new_user().http.post(path, json=body).status_code == 404
    user.http.post(f"/containers/{container_id}/stop")
    user.until(container_id, "stopped")
    stopped = user.http.post(path, json=body)
    assert (stopped.status_code, stopped.json()["status"]) == (409, "stopped")
    user.http.delete(f"/containers/{container_id}")
    assert user.http.post(path, json=body).status_code == 404


def test_too_many_commands_at_once_are_told_to_come_back(running: tuple[User, str]) -> None:
    user, container_id = running
    answers: list[int] = []

    def ask() -> None:
        answers.append(user.http.post(f"/containers/{container_id}/exec", json={"command": "sleep 2"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(set(answers)) in ([200, 429], [200])
    assert answers.count(200) >= 4
