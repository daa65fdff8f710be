"""`PATCH /containers/{id}/settings` as in api-contract."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.contract.statuses import Status
from tests.app.conftest import Api
from tests.builders import a_report


def patch(api: Api, container: dict[str, Any], body: Any) -> Any:
    return api("PATCH", f"/containers/{container['id']}/settings", body)


def made_running(container: dict[str, Any], **report: Any) -> None:
    """As if a host had made it."""
    store, now = wiring.containers(), wiring.CLOCK.now()
    wiring.hosts().enrol("host-1", "key")
    wiring.hosts().heartbeat("host-1", a_report(**report), now)
    record = store.get(container["user_id"], container["id"])
    placed = store.place(record, wiring.hosts().get("host-1"), now)
    after = placed.model_copy(update={"status": Status.RUNNING, "version": placed.version + 1})
    store.apply(placed, after, [], release=False)


def test_amounts_and_name_are_changed_and_shown(api: Api) -> None:
    container = api.created(name="web", memory_mb=512, cpu_shares=500)
    made_running(container)

    answer = patch(api, container, {"name": "db", "memory_mb": 99_999, "cpu_shares": None})

    assert answer.status_code == 200
    body = answer.json_body
    assert (body["restarted"], body["adjusted"]) == (False, {"memory_mb": {"requested": 99_999, "granted": 4096}})
    assert isinstance(body["message"], str)
    assert (body["container"]["name"], body["container"]["resources"]["cpu_shares"]) == ("db", 500)
    assert api("GET", f"/containers/{container['id']}").json_body["resources"]["memory_mb"] == 4096
    assert wiring.hosts().get("host-1").reserved.memory_mb == 4096
    api.created(name="web")


def test_without_room_it_is_a_409_that_says_what_to_do(api: Api) -> None:
    container = api.created(memory_mb=512)
    made_running(container, memory_mb=600)

    answer = patch(api, container, {"memory_mb": 1024})

    assert (answer.status_code, answer.json_body["code"]) == (409, "no_room")
    assert "ask for less" in answer.json_body["message"]
    assert api("GET", f"/containers/{container['id']}").json_body["resources"]["memory_mb"] == 512


def test_while_creating_a_name_may_be_changed_and_amounts_may_not(api: Api) -> None:
    container = api.created(name="web")
    other = api.created(name="other")

    assert patch(api, container, {"name": "web"}).status_code == 200
    assert patch(api, container, {"name": "db"}).json_body["container"]["name"] == "db"
    taken = patch(api, other, {"name": "db"})
    assert (taken.status_code, taken.json_body["code"], taken.json_body["name"]) == (409, "name_taken", "db")
    early = patch(api, container, {"memory_mb": 1024})
    assert (early.status_code, early.json_body["status"]) == (409, "creating")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "-"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": 5}, "name"),
        ({"memory_mb": -1}, "memory_mb"),
        ({"memory_mb": "1"}, "memory_mb"),
        ({"cpu_shares": 1.5}, "cpu_shares"),
        ({"disk_mb": 2048}, "disk_mb"),
        ({"status": "running"}, "status"),
        ({"user_id": "x"}, "user_id"),
    ],
)
def test_a_field_that_is_wrong_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    answer = patch(api, api.created(), body)

    assert answer.status_code == 400
    assert answer.json_body["field"] == field


@pytest.mark.parametrize("body", [{}, {"name": None}, {"memory_mb": 0, "cpu_shares": None, "name": ""}])
def test_nothing_to_change_is_a_400_that_says_what_can_be(api: Api, body: dict[str, Any]) -> None:
    answer = patch(api, api.created(), body)

    assert answer.status_code == 400
    assert answer.json_body["supported_fields"] == ["name", "memory_mb", "cpu_shares"]


def test_another_users_container_is_a_404(user: Callable[..., Api]) -> None:
    container = user().created()

    assert patch(user(), container, {"name": "mine"}).json_body == {"error": "container not found", "code": "not_found"}


def test_a_deleted_container_cannot_be_changed(api: Api) -> None:
    container = api.created()
    api("DELETE", f"/containers/{container['id']}")

    assert patch(api, container, {"name": "again"}).status_code == 404
