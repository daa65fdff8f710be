"""Stop, start, restart and catching up, through the public API."""

from collections.abc import Callable

import pytest

from tests.flow.conftest import User, frames


def test_a_container_is_stopped_started_and_restarted_and_every_change_is_heard(user: User) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        created = user.create(name="web")
        frames(socket, lambda frame: frame["type"] == "updated")
        path = f"/containers/{created['id']}"

        stop = user.http.post(f"{path}/stop")
        stopped = frames(socket, lambda frame: True)[0]
        again = user.http.post(f"{path}/stop")
        start = user.http.post(f"{path}/start")
        started = frames(socket, lambda frame: True)[0]
        restart = user.http.post(f"{path}/restart")
        restarted = frames(socket, lambda frame: frame["type"] == "started")

    ids = {"id": created["id"], "name": "web"}
    assert stop.json() == again.json() == {"message": "container stopped", "status": "stopped"} | ids
    assert start.json() == {"message": "container started", "status": "running"} | ids
    assert restart.json() == {"message": "container restarted", "status": "running"} | ids
    assert (stopped["type"], stopped["container"]["reason"]) == ("stopped", "user")
    assert stopped["container"]["stopped_because"]["code"] == "user"
    assert (started["type"], started["container"]["status"]) == ("started", "running")
    assert "stopped_because" not in started["container"]
    assert [frame["type"] for frame in restarted] == ["stopped", "started"]
    assert user.http.get(path).json()["status"] == "running"


def test_stop_and_start_at_once_end_as_asked_for_last(user: User) -> None:
    created = user.create()
    user.until(created["id"], "running")
    path = f"/containers/{created['id']}"
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)

        for verb in ("stop", "start", "stop"):
            assert user.http.post(f"{path}/{verb}").status_code == 200

        frames(socket, lambda frame: frame["type"] == "stopped")
    assert user.until(created["id"], "stopped")["status"] == "stopped"


def test_a_running_container_is_renamed_and_resized_without_a_restart(user: User) -> None:
    created = user.create(name="web", memory_mb=512, cpu_shares=500)
    before = user.until(created["id"], "running")
    path = f"/containers/{created['id']}"
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)

        answer = user.http.patch(f"{path}/settings", json={"name": "db", "memory_mb": 768})
        heard = frames(socket, lambda frame: "resources" in frame["container"])

    assert answer.status_code == 200
    assert (answer.json()["restarted"], answer.json()["container"]["name"]) == (False, "db")
    assert [frame["type"] for frame in heard] == ["updated", "updated"]
    assert heard[0]["container"]["name"] == "db"
    assert heard[1]["container"]["resources"]["memory_mb"] == 768
    assert "error" not in heard[1]["container"]
    now = user.http.get(path).json()
    assert (now["started_at"], now["resources"]["memory_mb"]) == (before["started_at"], 768)


def test_what_cannot_be_switched_says_why(user: User, new_user: Callable[..., User]) -> None:
    image = "docker.io/berth-no-such-owner/no-such-image:1"
    failed = user.create(image="custom", custom_image=image)
    user.until(failed["id"], "error")

    for verb in ("start", "stop", "restart"):
        answer = user.http.post(f"/containers/{failed['id']}/{verb}")
        assert answer.status_code == 409
        assert answer.json()["status"] == "error"
        assert new_user().http.post(f"/containers/{failed['id']}/{verb}").status_code == 404


def test_whatever_was_missed_can_be_asked_for_even_after_the_end(user: User, new_user: Callable[..., User]) -> None:
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        created = user.create()
        heard = frames(socket, lambda frame: frame["type"] == "updated")
        path = f"/containers/{created['id']}/events"
        assert user.http.get(path).json() == {"events": heard, "last_seq": len(heard)}
        assert user.http.get(f"{path}?after=5").json()["events"] == heard[5:]
        user.http.delete(f"/containers/{created['id']}")
        heard += frames(socket, lambda frame: frame["type"] == "deleted")

    assert user.http.get(path).json() == {"events": heard, "last_seq": len(heard)}
    assert new_user().http.get(path).status_code == 404


@pytest.mark.parametrize("after", ["-1", "x", "1e3", ""])
def test_a_bad_number_to_catch_up_from_is_a_400(user: User, after: str) -> None:
    created = user.create()

    answer = user.http.get(f"/containers/{created['id']}/events?after={after}")

    assert (answer.status_code, answer.json()["field"]) == (400, "after")
