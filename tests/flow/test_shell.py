"""Whoever asks for an image and nothing else gets the user and the shell, set up as asked for."""

import contextlib
from typing import Any

import pytest

from tests.flow.conftest import User
from tests.inside import run_in

LOOK = "echo $USERNAME $HOME $BERTH_THEME_LOADED $+functions[_zsh_autosuggest_start] $+aliases[gst]"


def logged_in(user: User, container: dict[str, Any], command: str) -> str:
    with contextlib.closing(user.berth.engine.client()) as client:
        login = ["zsh", "-lic", command]
        ran = run_in(client.api, container["container_id"], login, "user", {"HOME": "/home/user"}, tty=True)
    return ran.output.decode()


@pytest.mark.usefixtures("shell")
def test_an_image_and_nothing_else_comes_with_the_user_and_the_shell(user: User) -> None:
    container = user.until(user.create(role="")["id"], "running", "error")

    assert container["status"] == "running", container
    assert logged_in(user, container, LOOK).split() == ["user", "/home/user", "berth", "1", "1"]


@pytest.mark.usefixtures("shell")
def test_the_shell_is_as_it_was_asked_for(user: User) -> None:
    wanted = {"theme": "minimal", "autosuggestions": False, "git_aliases": False}
    container = user.until(user.create(role="", shell=wanted)["id"], "running", "error")

    assert logged_in(user, container, LOOK).split() == ["user", "/home/user", "minimal", "0", "0"]
