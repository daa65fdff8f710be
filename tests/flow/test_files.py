"""Files through the whole road: client, gateway, function, agent, engine and back."""

import base64
import os
from collections.abc import Callable

import httpx
import pytest

from chalicelib.contract.agent_api import FILE_BYTES
from tests.flow.conftest import User


@pytest.fixture
def running(new_user: Callable[..., User]) -> tuple[User, str]:
    """A user and where the files of a container that runs are."""
    user = new_user()
    container_id = str(user.create()["id"])
    user.until(container_id, "running")
    return user, f"/containers/{container_id}/files"


def test_a_file_goes_in_by_every_way_and_comes_out_as_it_was(running: tuple[User, str]) -> None:
    user, files = running
    content = os.urandom(300_000)

    raw = user.http.post(
        files,
        params={"path": "/home/user/raw"},
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    form = user.http.post(files, params={"path": "/home/user/"}, files={"file": ("form grüße", content)})
    told = user.http.post(files, json={"path": "/home/user/told", "content": base64.b64encode(content).decode()})

    assert [each.status_code for each in (raw, form, told)] == [200] * 3, (raw.text, form.text, told.text)
    for name in ("raw", "form grüße", "told"):
        answer = user.http.get(files, params={"path": f"/home/user/{name}"})
        assert (answer.status_code, answer.content == content) == (200, True)
        assert answer.headers["X-File-Size"] == "300000"
    listed = user.http.get(f"{files}/list").json()
    assert {"raw", "form grüße", "told"} <= {each["name"] for each in listed["files"]}


def test_the_largest_file_goes_in_and_out(running: tuple[User, str]) -> None:
    user, files = running
    content = os.urandom(FILE_BYTES)
    query = {"path": "/home/user/large"}

    sent = user.http.post(files, params=query, content=content, headers={"Content-Type": "application/octet-stream"})
    more = user.http.post(files, params=query, content=content + b"x", headers={"Content-Type": "a/b"})

    assert (sent.status_code, more.status_code, more.json()["code"]) == (200, 413, "body_too_large")
    assert user.http.get(files, params=query).content == content


def test_whoever_names_nothing_that_they_accept_gets_bytes(running: tuple[User, str]) -> None:
    """As Go's own client does."""
    user, files = running
    request = user.http.build_request("GET", files, params={"path": "/etc/hostname"})
    del request.headers["Accept"]

    answer = user.http.send(request)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/octet-stream")


def test_folders_and_removals_and_what_is_not_there(running: tuple[User, str]) -> None:
    user, files = running

    assert user.http.post(f"{files}/mkdir", json={"path": "/home/user/a/b"}).status_code == 200
    assert user.http.get(f"{files}/list", params={"path": "/home/user/a"}).json()["count"] == 1
    assert user.http.delete(files, params={"path": "/home/user/a"}).status_code == 200
    assert user.http.get(f"{files}/list", params={"path": "/home/user/a"}).json()["code"] == "file_not_found"
    denied = user.http.delete(files, params={"path": "/etc/passwd"})
    assert (denied.status_code, denied.json()["code"]) == (403, "file_denied")


def test_nobody_else_has_files_there_nor_in_what_does_not_run(
    running: tuple[User, str], new_user: Callable[..., User]
) -> None:
    user, files = running
    asked = {"path": "/etc/hostname"}

    def ask(by: User) -> httpx.Response:
        return by.http.get(files, params=asked)

    assert ask(new_user()).status_code == 404
    user.http.post(files.replace("files", "stop"))
    user.until(files.split("/")[2], "stopped")
    assert (ask(user).status_code, ask(user).json()["status"]) == (409, "stopped")
