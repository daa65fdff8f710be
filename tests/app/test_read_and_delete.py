"""Reading, deleting, tokens and service pages as in api-contract."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.domain import errors
from chalicelib.domain.identity import Scope
from chalicelib.edge.answers import STATUS_OF
from tests.app.conftest import Api


def test_a_container_is_shown_as_an_item(api: Api) -> None:
    created = api.created(name="web", labels={"a": "b"})

    item = api("GET", f"/containers/{created['id']}").json_body

    assert item == {
        "id": created["id"],
        "db_id": created["id"],
        "user_id": created["user_id"],
        "name": "web",
        "image": "debian:bookworm",
        "role": "",
        "status": "creating",
        "created_at": created["created_at"],
        "last_used_at": created["created_at"],
        "idle_seconds": item["idle_seconds"],
        "resources": created["resources"],
        "environment": {},
        "labels": {"a": "b"},
        "expires_at": created["expires_at"],
        "session_limit_seconds": 180000,
        "last_seq": 0,
    }


def test_the_list_counts_and_names_the_limit(api: Api) -> None:
    ids = [api.created()["id"] for _ in range(3)]

    listing = api("GET", "/containers").json_body

    assert {item["id"] for item in listing["containers"]} == set(ids)
    assert (listing["count"], listing["limit"]) == (3, 5)


def test_the_list_is_paged_and_filtered_only_when_asked(api: Api) -> None:
    ids = {api.created()["id"] for _ in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        page = api("GET", f"/containers?limit=2{cursor}").json_body
        seen += [item["id"] for item in page["containers"]]
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert set(seen) == ids
    assert len(seen) == 5
    assert api("GET", "/containers?status=running").json_body["count"] == 0
    assert api("GET", "/containers?status=creating").json_body["count"] == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1", "status=deleting", "limit=1e3"])
def test_a_bad_query_is_a_400_that_names_the_parameter(api: Api, query: str) -> None:
    answer = api("GET", f"/containers?{query}")

    assert answer.status_code == 400
    assert answer.json_body["field"] == query.partition("=")[0]


def test_a_deleted_container_is_gone_at_once_and_its_name_is_free(api: Api) -> None:
    container = api.created(name="web")

    answer = api("DELETE", f"/containers/{container['id']}")

    assert answer.status_code == 200
    ids = {"id": container["id"], "db_id": container["id"], "name": "web"}
    assert answer.json_body == {"message": "container deleted"} | ids
    assert api("GET", f"/containers/{container['id']}").status_code == 404
    assert api("DELETE", f"/containers/{container['id']}").status_code == 404
    assert api("GET", "/containers").json_body["count"] == 0
    api.created(name="web")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_another_users_container_is_a_404_like_one_that_never_was(user: Callable[..., Api], method: str) -> None:
    mine, theirs = user(), user()
    container = mine.created()

    stranger = theirs(method, f"/containers/{container['id']}")
    never = theirs(method, "/containers/00000000-0000-4000-8000-000000000000")

    assert stranger.status_code == never.status_code == 404
    assert stranger.json_body == never.json_body == {"error": "container not found", "code": "not_found"}
    assert theirs("GET", "/containers").json_body["containers"] == []
    assert mine("GET", f"/containers/{container['id']}").status_code == 200


@pytest.mark.parametrize("reference", ["x", "%2e%2e", "web", "a" * 300, "%00", "0" * 11, "ABCDEF012345", "name%23web"])
def test_a_reference_that_is_no_id_is_a_404(api: Api, reference: str) -> None:
    assert api("GET", f"/containers/{reference}").status_code == 404


BROKEN = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Basic dXNlcjpwYXNz",
    "Bearer nonsense",
    "Bearer berth_short",
    "Bearer berth_" + "a" * 49,
    "Bearer berth_" + "é" * 49,
    "bearer",
    "Token berth_" + "a" * 49,
]


@pytest.mark.parametrize("header", BROKEN)
@pytest.mark.parametrize("route", [("GET", "/containers"), ("POST", "/containers"), ("GET", "/tokens")])
def test_every_broken_token_is_a_401(cloud: Any, header: str | None, route: tuple[str, str]) -> None:
    headers = {"Content-Type": "application/json"} | ({"Authorization": header} if header is not None else {})

    answer = cloud.http.request(*route, headers=headers, body=b"{}" if route[0] == "POST" else b"")

    assert answer.status_code == 401
    assert answer.json_body == {"error": "unauthorized", "code": "unauthorized"}
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_well_formed_token_that_nobody_has_is_a_401(cloud: Any, user: Callable[..., Api]) -> None:
    token = user().token
    swapped = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]

    assert Api(cloud, swapped)("GET", "/containers").status_code == 401


def test_a_revoked_token_is_refused(api: Api, cloud: Any) -> None:
    minted = api("POST", "/tokens", {"name": "ci"}).json_body
    other = Api(cloud, minted["token"])

    assert api("DELETE", f"/tokens/{minted['id']}").json_body["message"] == "token revoked"

    assert other("GET", "/containers").status_code == 401
    assert api("DELETE", f"/tokens/{minted['id']}").status_code == 404


def test_a_minted_token_is_shown_once_and_works(api: Api, cloud: Any) -> None:
    answer = api("POST", "/tokens", {"name": "ci", "scopes": ["read"], "expires_in": 1})

    assert answer.status_code == 201
    minted = answer.json_body
    assert minted["token"].startswith("berth_")
    assert minted["scopes"] == ["read"]
    assert minted["token"] not in api("GET", "/tokens").body.decode()
    assert [each["name"] for each in api("GET", "/tokens").json_body["tokens"]] == ["ci", "test"]
    reader = Api(cloud, minted["token"])
    assert reader("GET", "/containers").status_code == 200
    refused = reader.post({"image": "debian"})
    assert refused.status_code == 403
    assert refused.json_body == {"error": "insufficient scope", "code": "insufficient_scope", "required": "write"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x", "scopes": ["root"]}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "expires_in": 0}, "expires_in"),
        ({"name": "x", "expires_in": 10**9}, "expires_in"),
        ({"name": "x", "tier": "pro"}, "tier"),
    ],
)
def test_a_bad_token_request_names_the_field(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api("POST", "/tokens", body)

    assert (answer.status_code, answer.json_body["field"]) == (400, field)


def test_a_token_cannot_give_more_than_it_has(api: Api, user: Callable[..., Api]) -> None:
    assert api("POST", "/tokens", {"name": "x", "scopes": ["admin"]}).status_code == 403
    assert user(scopes=(Scope.READ,))("POST", "/tokens", {"name": "x"}).status_code == 403


def test_a_guest_gets_an_hour_and_cannot_mint(cloud: Any) -> None:
    answer = cloud.http.post("/auth/guest", headers={"Content-Type": "application/json"}, body=b'{"username":"ann"}')

    guest = answer.json_body
    assert answer.status_code == 200
    assert (guest["guest"], guest["expires_in"], guest["user"]["username"]) == (True, 3600, "ann")
    assert Api(cloud, guest["token"])("POST", "/tokens", {"name": "x"}).status_code == 403


def test_the_sixth_guest_of_an_address_waits_until_tomorrow(cloud: Any) -> None:
    answers = [cloud.http.post("/auth/guest") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_ticket_is_sold_for_a_token(api: Api) -> None:
    answer = api("POST", "/tickets")

    assert answer.status_code == 201
    assert answer.json_body["ticket"].startswith("ticket_")
    assert answer.json_body["expires_in"] == 30


@pytest.mark.parametrize(("path", "key"), [("/images", "images"), ("/roles", "roles"), ("/tiers", "tiers")])
def test_catalogues_need_a_token(api: Api, cloud: Any, path: str, key: str) -> None:
    assert api("GET", path).json_body[key]
    assert cloud.http.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_service_pages_need_none(cloud: Any, path: str) -> None:
    assert cloud.http.get(path).status_code == 200


def leaves(kind: type[errors.BerthError]) -> list[type[errors.BerthError]]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in leaves(each)] if below else [kind]


def test_every_refusal_has_its_answer() -> None:
    late = {errors.HostSilent: 503, errors.CommandTimedOut: 504, errors.FileTimedOut: 504}
    for leaf in leaves(errors.Refused):
        assert 400 <= STATUS_OF[leaf] < 500 or STATUS_OF[leaf] == late[leaf], leaf
        assert isinstance(getattr(leaf, "code", None), str)
    assert STATUS_OF[errors.Busy] == 503
    assert not [leaf for leaf in leaves(errors.Internal) if leaf in STATUS_OF]
