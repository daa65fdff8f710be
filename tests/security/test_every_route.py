"""Who gets what: every route of the application times every kind of caller, and nothing told to who may not know."""

import json
import uuid
from typing import Any

import pytest

import app as berth
from tests.machines.served import Answer
from tests.security.callers import ENGINE_ID, NOBODY, SOMEBODY, Street, street

TABLE = """
route                                     owner  other  guest  reader  writer  nobody  deleted
POST /containers                            202    202    202     403     202     401        -
GET /containers                             200    200    200     200     403     401        -
GET /containers/{container_id}              200    404    404     200     403     401      404
DELETE /containers/{container_id}           200    404    404     403     200     401      404
GET /containers/{container_id}/events       200    404    404     200     403     401      200
POST /containers/{container_id}/start       200    404    404     403     200     401      404
POST /containers/{container_id}/stop        200    404    404     403     200     401      404
POST /containers/{container_id}/restart     200    404    404     403     200     401      404
POST /containers/{container_id}/exec        200    404    404     403     403     401      404
GET /containers/{container_id}/stats        200    404    404     200     403     401      404
GET /containers/{container_id}/files        200    404    404     403     403     401      404
GET /containers/{container_id}/files/list   200    404    404     403     403     401      404
POST /containers/{container_id}/files       200    404    404     403     403     401      404
POST /containers/{container_id}/files/mkdir 200    404    404     403     403     401      404
DELETE /containers/{container_id}/files     200    404    404     403     403     401      404
POST /containers/{container_id}/terminal    200    404    404     403     403     401      404
POST /terminals/check                       401    401    401     401     401     401        -
PATCH /containers/{container_id}/settings   200    404    404     403     200     401      404
POST /tokens                                201    201    403     403     201     401        -
GET /tokens                                 200    200    200     200     403     401        -
DELETE /tokens/{token_id}                   200    404    404     403     200     401        -
POST /tickets                               201    201    201     201     403     401        -
POST /auth/guest                            200    200    200     200     200     200        -
GET /images                                 200    200    200     200     403     401        -
GET /roles                                  200    200    200     200     403     401        -
GET /tiers                                  200    200    200     200     403     401        -
GET /health                                 200    200    200     200     200     200        -
GET /version                                200    200    200     200     200     200        -
GET /openapi.json                           200    200    200     200     200     200        -
GET /asyncapi.json                          200    200    200     200     200     200        -
GET /docs                                   200    200    200     200     200     200        -
"""
"""`other` and `guest` ask for what is the owner's where the path names something, else for their own; `reader` and
`writer` are tokens of the owner with that one scope; `deleted` is the owner asking for a container that is gone."""

BODIES: dict[str, Any] = {
    "POST /containers": {"image": "alpine"},
    "PATCH /containers/{container_id}/settings": {"name": "other", "memory_mb": 512},
    "POST /containers/{container_id}/exec": {"command": "echo hello"},
    "POST /containers/{container_id}/files": {"path": "/srv/file", "content": "aGVsbG8="},
    "POST /containers/{container_id}/files/mkdir": {"path": "/srv/folder"},
    "POST /terminals/check": {"ticket": "none of ours"},
    "POST /tokens": {"name": "another", "scopes": ["write"]},
}
"""Bodies of routes that need one."""

QUERIES = {
    "GET /containers/{container_id}/files": {"path": "/srv/file"},
    "DELETE /containers/{container_id}/files": {"path": "/srv/file"},
}
"""The same of their queries."""

Row = dict[str, str]


def rows() -> dict[str, Row]:
    header, *lines = (line.split() for line in TABLE.strip().splitlines())
    found = {}
    for line in lines:
        route, statuses = " ".join(line[:2]), line[2:]
        found[route] = dict(zip(header[1:], statuses, strict=True))
    return found


ROWS = rows()
ABOUT_CONTAINER = [route for route in ROWS if "{container_id}" in route]
ABOUT_SOMETHING = [route for route in ROWS if "{" in route]


def ask(street: Street, route: str, caller: str, **path: str) -> Answer:
    method, pattern = route.split()
    named = {"container_id": street.container_id, "token_id": street.token_id} | path
    asked = {name: value for name, value in named.items() if f"{{{name}}}" in pattern}
    body = BODIES.get(route)
    query = QUERIES.get(route)
    return street.served(method, pattern, street.tokens[caller], path=asked or None, query=query, body=body)


def test_every_route_of_the_application_has_its_row() -> None:
    routes = {f"{method} {pattern}" for pattern, methods in berth.app.routes.items() for method in methods}

    assert routes == set(ROWS)


CASES = [(route, caller) for route in ROWS for caller in (*SOMEBODY, *NOBODY)]


@pytest.mark.parametrize(("route", "caller"), CASES)
def test_a_caller_gets_what_the_table_says_and_what_is_refused_writes_nothing(route: str, caller: str) -> None:
    here = street()
    expected = int(ROWS[route]["nobody" if caller in NOBODY else caller])
    before = here.served.written()

    with here.served.on():
        answer = ask(here, route, caller)

    assert answer.status == expected, answer.body
    if answer.status >= 400:
        assert {"error", "code"} <= answer.body.keys()
    if answer.status >= 400 or route.startswith("GET"):
        assert here.served.written() == before
    if caller in ("other", "guest", *NOBODY):
        told = json.dumps([answer.body, answer.headers], default=str)
        assert not [secret for secret in (here.user_id, here.container_id, here.token_id, "mine") if secret in told]


@pytest.mark.parametrize("route", [route for route, row in ROWS.items() if row["nobody"] == "401"])
def test_whoever_is_nobody_is_refused_with_the_same_words(route: str) -> None:
    here = street()

    with here.served.on():
        answers = [ask(here, route, caller) for caller in NOBODY]

    assert all(answer.alike == answers[0].alike for answer in answers)
    assert answers[0].body == {"error": "unauthorized", "code": "unauthorized"}
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", ABOUT_CONTAINER)
def test_a_deleted_container_is_gone_for_its_owner(route: str) -> None:
    here = street()

    with here.served.on():
        answer = ask(here, route, "owner", container_id=here.deleted_id)
        never = ask(here, route, "owner", container_id=str(uuid.uuid4()))

    assert answer.status == int(ROWS[route]["deleted"])
    assert answer.status == 200 or answer.alike == never.alike


@pytest.mark.parametrize("caller", ["other", "guest"])
@pytest.mark.parametrize("route", ABOUT_SOMETHING)
def test_what_is_anothers_cannot_be_told_from_what_never_was(route: str, caller: str) -> None:
    here = street()
    unknown = str(uuid.uuid4())
    theirs: list[dict[str, str]] = [
        {"container_id": reference, "token_id": here.token_id}
        for reference in (here.container_id, here.container_id.upper(), here.deleted_id, ENGINE_ID, ENGINE_ID[:12])
    ]
    before = here.served.written()

    with here.served.on():
        foreign = [ask(here, route, caller, **path) for path in theirs]
        never = ask(here, route, caller, container_id=unknown, token_id=unknown)

    assert never.status == 404
    assert [answer.alike for answer in foreign] == [never.alike] * len(theirs)
    assert here.served.written() == before


@pytest.mark.parametrize("route", ABOUT_CONTAINER)
def test_the_owner_may_name_a_container_by_its_engine_id_too(route: str) -> None:
    for reference in (ENGINE_ID, ENGINE_ID[:12], ENGINE_ID[:12].upper()):
        here = street()
        with here.served.on():
            assert ask(here, route, "owner", container_id=reference).status == 200
            assert ask(here, route, "owner", container_id=reference[:11]).status == 404


def test_a_token_just_used_is_refused_at_most_half_a_minute_after_it_was_revoked() -> None:
    here = street()
    served = here.served

    with served.on():
        assert served("GET", "/containers", here.tokens["reader"]).status == 200
        spent = served.world.tokens_store
        token_id = next(token.id for token in spent.rows.values() if token.name == "reader")
        assert ask(here, "DELETE /tokens/{token_id}", "owner", token_id=token_id).status == 200
        served.world.clock.advance(30)

        assert served("GET", "/containers", here.tokens["reader"]).status == 401
