"""What is published of the API is what the code does: routes, documents, answers and frames."""

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel

import app as berth
from chalicelib.contract.causes import Code
from chalicelib.contract.events import Created, Failed, Progress, Ready, Removed, Started, Stopped
from chalicelib.contract.statuses import Stage
from chalicelib.domain.container import Container
from chalicelib.domain.items import frame_body
from chalicelib.domain.transitions import Change, apply
from infra.apidocs import answers
from infra.apidocs.__main__ import FOLDER, documents
from infra.apidocs.frames import SERVER_FRAME
from infra.apidocs.operations import OPERATIONS
from tests.app.conftest import Api
from tests.builders import NOW, a_cause, a_container, about


def test_every_route_is_published_and_nothing_else() -> None:
    routes = {(method, path) for path, methods in berth.app.routes.items() for method in methods}

    assert {(operation.method, operation.path) for operation in OPERATIONS} == routes


def test_the_documents_are_what_the_code_says() -> None:
    assert {name: (FOLDER / name).read_text() for name in documents()} == documents()


def test_the_openapi_document_is_valid_and_its_operations_have_names_of_their_own() -> None:
    document = json.loads(documents()["openapi.json"])

    validate(document)

    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    text = documents()["asyncapi.json"]
    document = json.loads(text)

    for reference in re.findall(r'"\$ref": "#/([^"]+)"', text):
        found: Any = document
        for step in reference.split("/"):
            found = found[step]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/openapi.json", "application/json"), ("/asyncapi.json", "application/json"), ("/docs", "text/html")],
)
def test_documents_are_served_without_a_token(api: Api, path: str, kind: str) -> None:
    answer = api.client.http.get(path)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    [name] = [name for name in documents() if name.split(".")[0] == path.strip("/").split(".")[0]]
    assert answer.body.decode() == documents()[name]


def exact(model: type[BaseModel], body: Any) -> None:
    """The body has the model's members, all required ones and no others."""
    model.model_validate(body, strict=False)


def test_answers_are_as_published(api: Api) -> None:
    accepted = api.created(name="web", memory_mb=99_999, labels={"a": "b"}, environment={"A": "b"})
    one = f"/containers/{accepted['id']}"
    token = api("POST", "/tokens", {"name": "ci"}).json_body

    exact(answers.Accepted, accepted)
    exact(answers.Item, api("GET", one).json_body)
    exact(answers.Listing, api("GET", "/containers").json_body)
    exact(answers.EventLog, api("GET", f"{one}/events").json_body)
    exact(answers.Problem, api("POST", f"{one}/stop").json_body)
    exact(answers.Deleted, api("DELETE", one).json_body)
    exact(answers.TokenMinted, token)
    exact(answers.TokenList, api("GET", "/tokens").json_body)
    exact(answers.TokenRevoked, api("DELETE", f"/tokens/{token['id']}").json_body)
    exact(answers.Ticket, api("POST", "/tickets").json_body)
    exact(answers.Guest, api.client.http.post("/auth/guest").json_body)
    exact(answers.ImageCatalogue, api("GET", "/images").json_body)
    exact(answers.RoleCatalogue, api("GET", "/roles").json_body)
    exact(answers.TierCatalogue, api("GET", "/tiers").json_body)
    exact(answers.Health, api("GET", "/health").json_body)
    exact(answers.Version, api("GET", "/version").json_body)


LIVES = {
    "ready, stopped, started, deleted": [
        (Progress, {"stage": Stage.VALIDATING, "progress": 10, "message": "m"}),
        (Created, {"engine_id": "e" * 64}),
        (Ready, {"engine_id": "e" * 64, "started_at": NOW}),
        (Stopped, {"cause": a_cause(Code.OOM)}),
        (Started, {"started_at": NOW}),
        (Removed, {"cause": a_cause(Code.EXPIRED)}),
    ],
    "failed": [(Failed, {"cause": a_cause(Code.IMAGE_NOT_FOUND)})],
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_frames_are_as_published(life: list[tuple[Any, dict[str, Any]]]) -> None:
    container: Container = a_container(user_id="user-1", expires_at=NOW)
    heard = []
    for number, (kind, fields) in enumerate(life, 1):
        change = apply(container, kind(**about(container, number), **fields), NOW)
        assert isinstance(change, Change)
        container = change.after
        heard += [frame_body(frame) for frame in change.frames]

    for frame in heard:
        SERVER_FRAME.validate_json(json.dumps(frame))
    assert len(heard) >= 2
