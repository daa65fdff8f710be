"""`POST /containers` as in api-contract: every field, default, clamp and error body, and the order of checks."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.conftest import Api
from tests.hostile_references import HOSTILE

IMAGES = ["alpine:latest", "archlinux:latest", "custom", "debian:bookworm", "ubuntu:24.04"]


def test_an_accepted_container_is_answered_at_once_and_whole(api: Api) -> None:
    answer = api.post({"image": "debian:bookworm", "name": "web", "role": "node", "environment": {"A": "b"}})

    body = answer.json_body
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/containers/{body['id']}"
    assert "X-Request-Id" in answer.headers
    assert body == {
        "id": body["id"],
        "db_id": body["id"],
        "user_id": body["user_id"],
        "name": "web",
        "image": "debian:bookworm",
        "role": "node",
        "status": "creating",
        "created_at": body["created_at"],
        "async": True,
        "message": body["message"],
        "resources": {"memory_mb": 2048, "cpu_shares": 2000, "disk_mb": 10240},
        "environment": {"A": "b"},
        "labels": {},
        "expires_at": body["expires_at"],
        "session_limit_seconds": 180000,
    }


def test_a_create_costs_one_transaction_and_one_message(api: Api, aws_calls: Counter[str]) -> None:
    api.created()
    first = dict(aws_calls)
    aws_calls.clear()
    api.created()

    assert first == {"GetItem": 1, "TransactWriteItems": 1, "SendMessage": 1}
    assert aws_calls == {"TransactWriteItems": 1, "SendMessage": 1}


@pytest.mark.parametrize("image", ["ubuntu:24.04", "debian:bookworm", "alpine:latest", "archlinux:latest"])
def test_documented_images_and_their_aliases_are_accepted_as_asked(api: Api, image: str) -> None:
    assert api.created(image=image)["image"] == image
    assert api.created(image=image.partition(":")[0])["image"] == image.partition(":")[0]


def test_a_custom_image_is_echoed_with_its_reference(api: Api) -> None:
    digest = "sha256:" + "a" * 64

    for reference in ("nginx", "node:20-alpine", "ghcr.io/a/b:1", f"quay.io:443/x/y@{digest}"):
        assert api.created(image="custom", custom_image=reference)["image"] == f"custom:{reference}"


@pytest.mark.parametrize(
    ("tier", "asked", "granted"),
    [
        ("free", {}, (2048, 2000, 10240)),
        ("free", {"memory_mb": 0, "cpu_shares": None}, (2048, 2000, 10240)),
        ("free", {"memory_mb": 1, "cpu_shares": 1, "disk_mb": 1}, (256, 250, 1024)),
        ("free", {"memory_mb": 10**30, "cpu_shares": 99999, "disk_mb": 99999}, (4096, 4000, 16384)),
        ("guest", {}, (512, 500, 2048)),
        ("guest", {"memory_mb": 4096}, (512, 500, 2048)),
        ("pro", {}, (4096, 4000, 20480)),
        ("pro", {"memory_mb": 8192, "disk_mb": 60000}, (8192, 4000, 51200)),
        ("enterprise", {}, (8192, 8000, 51200)),
        ("enterprise", {"memory_mb": 40000, "cpu_shares": 20000}, (32768, 16000, 51200)),
    ],
)
def test_amounts_are_the_tiers_defaults_and_clamped_to_its_range(
    user: Callable[..., Api], tier: str, asked: dict[str, Any], granted: tuple[int, int, int]
) -> None:
    body = user(tier).created(**asked)

    assert tuple(body["resources"].values()) == granted
    names = ("memory_mb", "cpu_shares", "disk_mb")
    changed = {
        name: {"requested": asked[name], "granted": amount}
        for name, amount in zip(names, granted, strict=True)
        if asked.get(name) and asked[name] != amount
    }
    assert body.get("adjusted", {}) == changed


@pytest.mark.parametrize("name", ["web", "A", "0-9", "a" * 64, "  padded  "])
def test_good_names_are_kept_without_the_spaces_round_them(api: Api, name: str) -> None:
    assert api.created(name=name)["name"] == name.strip()


@pytest.mark.parametrize("name", [None, "", "   "])
def test_a_name_that_is_not_given_is_generated(api: Api, name: str | None) -> None:
    adjective, noun, number = api.created(name=name)["name"].split("-")

    assert adjective.isalpha()
    assert noun.isalpha()
    assert len(number) == 3


SHELL = {"shell": {"enhanced": True, "theme": "minimal", "use_tmux": None}}


def test_every_field_is_accepted(api: Api) -> None:
    body = api.created(
        **SHELL,
        role="barebone",
        labels={"team": "a"},
        environment={"_X1": ""},
        network_mode="restricted",
        allowed_domains=["example.org", "*.example.org"],
    )

    assert (body["labels"], body["environment"]) == ({"team": "a"}, {"_X1": ""})


BAD = [
    ({}, "image", "image is required"),
    ({"image": None}, "image", "image is required"),
    ({"image": ""}, "image", "image is required"),
    ({"image": 5}, "image", "image must be a string"),
    ({"image": "windows"}, "image", "unsupported image type"),
    ({"image": "custom"}, "custom_image", "custom_image is required when image is 'custom'"),
    ({"image": "custom", "custom_image": "UPPER case"}, "custom_image", "invalid custom_image format"),
    ({"image": "custom", "custom_image": "a" * 256}, "custom_image", "invalid custom_image format"),
    ({"image": "custom", "custom_image": "evil.example/a"}, "custom_image", "registry not allowed"),
    ({"image": "custom", "custom_image": "169.254.169.254/a"}, "custom_image", "registry not allowed"),
    ({"image": "debian", "custom_image": "nginx"}, "custom_image", None),
    ({"name": "has space"}, "name", None),
    ({"name": "-x"}, "name", None),
    ({"name": "under_score"}, "name", None),
    ({"name": "a" * 65}, "name", None),
    ({"name": "nul\0"}, "name", None),
    ({"name": "ünïcode"}, "name", None),
    ({"name": 7}, "name", "name must be a string"),
    ({"role": "pilot"}, "role", "unsupported role"),
    ({"shell": []}, "shell", "shell must be an object"),
    ({"shell": {"theme": "neon"}}, "shell.theme", "unsupported shell theme"),
    ({"shell": {"enhanced": "yes"}}, "shell.enhanced", "shell.enhanced must be true or false"),
    ({"shell": {"colour": 1}}, "shell.colour", "shell.colour is not a known field"),
    ({"memory_mb": -1}, "memory_mb", "memory_mb must not be less than 0"),
    ({"memory_mb": 1.5}, "memory_mb", "memory_mb must be a whole number"),
    ({"memory_mb": "512"}, "memory_mb", "memory_mb must be a whole number"),
    ({"cpu_shares": True}, "cpu_shares", "cpu_shares must be a whole number"),
    ({"disk_mb": [1]}, "disk_mb", "disk_mb must be a whole number"),
    ({"environment": {"1X": "a"}}, "environment", None),
    ({"environment": {"X": 1}}, "environment.X", "environment.X must be a string"),
    ({"environment": {"X": "a\0"}}, "environment.X", None),
    ({"environment": {f"X{n}": "" for n in range(65)}}, "environment", None),
    ({"environment": {"X": "a" * 32768}}, "environment", None),
    ({"labels": {"berth.host": "x"}}, "labels.berth.host", None),
    ({"labels": {"": "x"}}, "labels", None),
    ({"network_mode": "host"}, "network_mode", "unsupported network_mode"),
    ({"allowed_domains": ["example.org"]}, "allowed_domains", None),
    ({"network_mode": "restricted", "allowed_domains": ["http://x"]}, "allowed_domains", None),
    ({"network_mode": "restricted", "allowed_domains": [f"a{n}.org" for n in range(51)]}, "allowed_domains", None),
    ({"imgae": "x"}, "imgae", "imgae is not a known field"),
    ({"started_at": "now"}, "started_at", "started_at is not a known field"),
    ({"user_id": "me"}, "user_id", "user_id is not a known field"),
]


@pytest.mark.parametrize(("fields", "field", "error"), BAD)
def test_a_bad_field_is_named_and_nothing_is_stored(
    api: Api, rows: Callable[[], list[Any]], fields: dict[str, Any], field: str, error: str | None
) -> None:
    body = fields if "image" in fields or not fields else {"image": "debian"} | fields

    answer = api.post(body)

    assert answer.status_code == 400, answer.body
    assert answer.json_body["field"] == field
    assert error is None or answer.json_body["error"] == error
    assert isinstance(answer.json_body["code"], str)
    assert rows() == []


def test_no_hostile_reference_is_accepted_and_each_refusal_says_why(api: Api, rows: Callable[[], list[Any]]) -> None:
    accepted, unclear = [], []
    for reference in HOSTILE:
        answer = api.post({"image": "custom", "custom_image": reference})
        if answer.status_code != 400:
            accepted.append(reference)
        elif answer.json_body["field"] != "custom_image" or answer.json_body["error"] not in REASONS:
            unclear.append((reference, answer.json_body))

    assert (accepted, unclear, rows()) == ([], [], [])
    assert len(set(HOSTILE)) >= 60


REASONS = (
    "registry not allowed", "invalid custom_image format", "custom_image is required when image is 'custom'",
    "custom_image has a name that hosts keep for themselves",
)  # fmt: skip


def test_the_refusals_of_the_contract_are_word_for_word(api: Api) -> None:
    image = api.post({"image": "windows"}).json_body
    name = api.post({"image": "debian", "name": "no_"}).json_body
    role = api.post({"image": "debian", "role": "x"}).json_body
    registry = api.post({"image": "custom", "custom_image": "localhost:5000/x"}).json_body

    assert (image["error"], image["supported_images"]) == ("unsupported image type", IMAGES)
    assert name["error"] == "invalid container name: must be 1-64 characters, alphanumeric and hyphens only"
    assert role["supported_roles"] == ["barebone", "devops", "go", "node", "python", "rust"]
    assert registry["error"] == "registry not allowed"
    assert "ghcr.io" in registry["allowed_registries"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b'{"image":"debian"', {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b'"debian"', {}, 400),
        (b'{"image":"debian","memory_mb":NaN}', {}, 400),
        (b'{"image":"deb\xff"}', {}, 400),
        (b'{"image":"\\ud800"}', {}, 400),
        (b"[" * 60_000, {}, 400),
        (b'{"image":"debian"}', {"Content_Type": "text/plain"}, 415),
        (b"image=debian", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"image":"' + b"x" * 1_000_000 + b'"}', {}, 413),
        (b'{"image":"debian"}', {"Idempotency_Key": "k" * 256}, 400),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(
    api: Api, rows: Callable[[], list[Any]], body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = api("POST", "/containers", body, **headers)

    assert answer.status_code == status, answer.body
    assert isinstance(answer.json_body["error"], str)
    assert rows() == []


def test_a_charset_behind_the_content_type_is_fine(api: Api) -> None:
    headers = {"Content_Type": "application/json; charset=utf-8"}

    assert api.post({"image": "debian"}, **headers).status_code == 202


def test_the_sixth_container_of_a_free_user_is_refused(api: Api) -> None:
    for _ in range(5):
        api.created()

    answer = api.post({"image": "debian"})

    assert answer.status_code == 403
    assert answer.json_body == {
        "error": "container limit reached",
        "code": "container_limit_reached",
        "current": 5,
        "limit": 5,
        "tier": "free",
        "message": answer.json_body["message"],
    }


def test_a_name_that_is_live_is_a_conflict(api: Api) -> None:
    api.created(name="web")

    answer = api.post({"image": "debian", "name": "web"})

    assert answer.status_code == 409
    assert answer.json_body["error"] == "container with this name already exists"
    assert answer.json_body["name"] == "web"


def test_checks_come_in_the_contracts_order(api: Api, cloud: Any) -> None:
    for number in range(5):
        api.created(name=f"n{number}")
    stranger = Api(cloud, "nonsense")
    bad: dict[str, Any] = {"image": "windows", "name": "no_", "role": "x", "memory_mb": -1}

    assert stranger.post(bad).status_code == 401
    assert api.post(bad).json_body["field"] == "image"
    assert api.post(bad | {"image": "debian"}).json_body["field"] == "name"
    assert api.post(bad | {"image": "debian", "name": "n0"}).json_body["field"] == "memory_mb"
    assert api.post({"image": "debian", "name": "n0"}).status_code == 403
    assert api.post({"image": 3, "name": 4}).json_body["field"] == "image"


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    if "rate" in request.node.name:
        return {"BERTH_CREATES_PER_SECOND": "100", "BERTH_CREATES_PER_MINUTE": "3"}
    return {}


def test_over_the_rate_comes_before_every_fault_of_the_body(api: Api) -> None:
    assert api.post({"image": "windows"}).status_code == 400
    assert api.post({"image": "debian", "name": "web"}).status_code == 202
    assert api.post({"image": "debian", "name": "web"}).status_code == 409

    for body in ({"image": "windows"}, {"image": "debian"}, b"{"):
        answer = api.post(body)
        assert answer.status_code == 429
        assert answer.json_body["error"] == "rate limit exceeded"
        assert answer.headers["Retry-After"] == str(answer.json_body["retry_after"])
        assert 1 <= answer.json_body["retry_after"] <= 60


def test_the_same_key_gives_the_first_answer_again(api: Api, rows: Callable[[], list[Any]]) -> None:
    first = api.post({"image": "debian", "name": "web"}, Idempotency_Key="k1")
    again = api.post({"name": "web", "image": "debian"}, Idempotency_Key="k1")

    assert again.status_code == 202
    assert again.json_body == first.json_body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len([row for row in rows() if row["sk"]["S"].startswith("container#")]) == 1


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    api.post({"image": "debian"}, Idempotency_Key="k1")

    answer = api.post({"image": "ubuntu"}, Idempotency_Key="k1")

    assert answer.status_code == 422
    assert answer.json_body["error"] == "idempotency key reused with a different request"


def test_a_guest_is_told_so_and_its_container_ends_with_its_token(user: Callable[..., Api], cloud: Any) -> None:
    guest = cloud.http.post("/auth/guest").json_body
    body = Api(cloud, guest["token"]).created()

    assert body["guest"] is True
    assert 3590 <= body["session_limit_seconds"] <= 3600
    assert Api(cloud, guest["token"]).post({"image": "debian"}).json_body["limit"] == 1


def test_paid_tiers_have_no_session_limit(user: Callable[..., Api]) -> None:
    assert "expires_at" not in user("pro").created()


def test_null_means_absent_for_known_members_only(api: Api) -> None:
    accepted = api.post({"image": "debian", "name": None, "shell": {"theme": None}, "labels": None})
    unknown = api.post({"image": "debian", "colour": None})
    inner = api.post({"image": "debian", "environment": {"A": None}})

    assert accepted.status_code == 202
    assert (unknown.status_code, unknown.json_body["field"]) == (400, "colour")
    assert (inner.status_code, inner.json_body["field"]) == (400, "environment.A")
