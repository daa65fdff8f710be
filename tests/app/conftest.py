"""The whole application as Lambda runs it, through Chalice's test client, over in-process moto."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from chalice.test import Client, HTTPResponse
from moto import mock_aws

import app as berth
from chalicelib import wiring
from chalicelib.contract.signatures import public_key_of
from chalicelib.domain.identity import Scope
from infra.local.resources import Stack
from tests.aws import REGION, ROOT
from tests.fakes.world import CONTROL_KEY

SETTINGS = {
    "BERTH_PREFIX": "berth-dev",
    "BERTH_CONTROL_PRIVATE_KEY": CONTROL_KEY,
    "BERTH_CONTROL_PUBLIC_KEY": public_key_of(CONTROL_KEY),
    "BERTH_SOCKETS_ENDPOINT": "http://127.0.0.1:9/api",
    "BERTH_CREATES_PER_SECOND": "100000",
    "BERTH_CREATES_PER_MINUTE": "100000",
    "BERTH_REQUESTS_PER_MINUTE": "100000",
    "BERTH_UNAUTHENTICATED_PER_MINUTE": "100000",
}


@dataclass
class Api:
    """A client of the API with one user's token."""

    client: Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent: dict[str, str] = {"Authorization": f"Bearer {self.token}"} | named
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        if content:
            sent = {"Content-Type": "application/json"} | sent
        return self.client.http.request(method, path, headers=sent, body=content)

    def post(self, body: Any, **headers: str) -> HTTPResponse:
        """`POST /containers`."""
        return self("POST", "/containers", body, **headers)

    def created(self, **fields: Any) -> dict[str, Any]:
        """The body of a 202."""
        answer = self.post({"image": "debian:bookworm"} | fields)
        assert answer.status_code == 202, answer.body
        return dict(answer.json_body)


def forget_wiring() -> None:
    for made in vars(wiring).values():
        if hasattr(made, "cache_clear"):
            made.cache_clear()


@pytest.fixture
def settings() -> dict[str, str]:
    """Overridden by tests that want other settings."""
    return {}


@pytest.fixture
def cloud(settings: dict[str, str]) -> Iterator[Client]:
    before = dict(os.environ)
    os.environ.update(SETTINGS | settings)
    forget_wiring()
    with mock_aws():
        session: Any = boto3
        stack = Stack.read(ROOT / "infra/aws/stack.json", {"Prefix": "berth-dev"}, REGION)
        stack.create(session.client("dynamodb"), session.client("sqs"))
        with Client(berth.app, project_dir=str(ROOT)) as client:
            yield client
    forget_wiring()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def user(cloud: Client) -> Callable[..., Api]:
    """A new user of a tier."""

    def make(tier: str = "free", scopes: tuple[Scope, ...] = (Scope.READ, Scope.WRITE)) -> Api:
        return Api(cloud, wiring.tokens().first_of_user(tier, scopes, "test")["token"])

    return make


@pytest.fixture
def api(user: Callable[..., Api]) -> Api:
    return user()


@pytest.fixture
def aws_calls(cloud: Client) -> Counter[str]:
    """Every AWS call the functions make from here on, by name."""
    wiring.commands()
    calls: Counter[str] = Counter()
    for service in ("dynamodb", "sqs"):
        client = wiring._client(service)
        client.meta.events.register("before-call", lambda model, **_: calls.update([model.name]))
    return calls


@pytest.fixture
def rows(cloud: Client) -> Callable[[], list[dict[str, Any]]]:
    """All rows of the containers table but the rate counters."""
    session: Any = boto3

    def read() -> list[dict[str, Any]]:
        found = session.client("dynamodb").scan(TableName="berth-dev-containers")["Items"]
        return [row for row in found if not row["sk"]["S"].startswith("rate#")]

    return read
