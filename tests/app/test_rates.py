"""Limits at the API: every route has one, a refusal is as the contract says, and the hot path pays nothing for it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from chalice.test import HTTPResponse

import app as berth
from chalicelib.domain.identity import Scope
from tests.app.conftest import Api

OPEN = ("/health", "/version", "/openapi.json", "/asyncapi.json", "/docs", "/auth/guest")
ROUTES = sorted((method, path) for path, methods in berth.app.routes.items() for method in methods)
LIMIT = 3


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    if "as_shipped" in request.node.name:
        return {"BERTH_REQUESTS_PER_MINUTE": "500", "BERTH_UNAUTHENTICATED_PER_MINUTE": "300"}
    return {"BERTH_REQUESTS_PER_MINUTE": str(LIMIT), "BERTH_UNAUTHENTICATED_PER_MINUTE": str(LIMIT)}


@pytest.fixture(autouse=True)
def same_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window ends while a test counts."""
    monkeypatch.setattr("chalicelib.services.rates.window_end", lambda now, _seconds: now + timedelta(hours=1))


def assert_limited(answer: HTTPResponse) -> None:
    assert answer.status_code == 429, answer.body
    assert answer.json_body == {
        "error": "rate limit exceeded",
        "code": "rate_limited",
        "retry_after": answer.json_body["retry_after"],
    }
    assert answer.headers["Retry-After"] == str(answer.json_body["retry_after"])


@pytest.mark.parametrize(("method", "path"), [each for each in ROUTES if each != ("POST", "/containers")])
def test_every_route_is_limited_by_token_or_by_address(api: Api, method: str, path: str) -> None:
    path = path.replace("{container_id}", "0" * 12).replace("{token_id}", "x")

    answers = [api(method, path) for _ in range(LIMIT + 1)]

    assert 429 not in [answer.status_code for answer in answers[:LIMIT]]
    assert_limited(answers[LIMIT])


def test_refusals_are_limited_by_address_and_do_not_hold_up_good_tokens(api: Api) -> None:
    stranger = replace(api, token="nonsense")

    answers = [stranger("GET", "/containers") for _ in range(LIMIT + 2)]

    assert [answer.status_code for answer in answers] == [401] * LIMIT + [429] * 2
    assert_limited(answers[-1])
    assert_limited(stranger.post({"image": "debian"}))
    assert api("GET", "/containers").status_code == 200


def test_one_token_is_limited_and_another_of_the_same_user_is_not(api: Api) -> None:
    other = replace(api, token=api("POST", "/tokens", {"name": "other"}).json_body["token"])
    for _ in range(LIMIT):
        api("GET", "/containers")

    assert_limited(api("GET", "/containers"))
    assert other("GET", "/containers").status_code == 200


def test_a_token_over_its_limit_may_still_create(api: Api) -> None:
    for _ in range(LIMIT + 1):
        api("GET", "/containers")

    assert api.post({"image": "debian"}).status_code == 202


def test_a_create_without_the_scope_for_it_counts_as_any_request(user: Callable[..., Api]) -> None:
    reader = user(scopes=(Scope.READ,))

    answers = [reader.post({"image": "debian"}).status_code for _ in range(LIMIT + 1)]

    assert answers == [403] * LIMIT + [429]


def test_reads_as_shipped_cost_one_more_write_in_ten(api: Api, aws_calls: Counter[str]) -> None:
    for _ in range(20):
        assert api("GET", "/images").status_code == 200

    assert aws_calls == {"GetItem": 1, "UpdateItem": 2}


def test_what_is_refused_for_its_rate_costs_no_aws_call(api: Api, aws_calls: Counter[str]) -> None:
    for _ in range(LIMIT + 1):
        api("GET", "/images")
    aws_calls.clear()

    for _ in range(20):
        assert_limited(api("GET", "/images"))

    assert aws_calls == {}


def test_without_its_rows_the_limit_is_this_processs_own_and_nothing_breaks(api: Api) -> None:
    api("GET", "/containers")
    session: Any = boto3
    session.client("dynamodb").delete_table(TableName="berth-dev-tokens")

    answers = [api("GET", "/containers").status_code for _ in range(LIMIT)]

    assert answers == [200] * (LIMIT - 1) + [429]


@pytest.mark.parametrize("path", OPEN)
def test_open_pages_share_one_limit_per_address(api: Api, path: str) -> None:
    for _ in range(LIMIT):
        api.client.http.get("/health")

    assert_limited(api.client.http.request("POST" if path == "/auth/guest" else "GET", path))
