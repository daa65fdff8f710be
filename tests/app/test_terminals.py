"""`POST /containers/{id}/terminal`: who gets a ticket, what is in it, and what it tells nobody."""

from dataclasses import replace
from typing import Any

import jwt
import pytest

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.terminals import TICKET_SECONDS, relay_key, unwrap
from chalicelib.services.rates import Rates
from infra.apidocs import answers
from tests.fakes.world import CONTROL_KEY
from tests.machines.served import SOURCE, Answer
from tests.security.callers import Street, street

ROUTE = "/containers/{container_id}/terminal"


@pytest.fixture
def here() -> Street:
    return street()


def ask(here: Street, body: Any = None, caller: str = "owner") -> Answer:
    with here.served.on():
        return here.served("POST", ROUTE, here.tokens[caller], path={"container_id": here.container_id}, body=body)


def claims(answer: Answer) -> dict[str, Any]:
    """What the relay finds in the ticket; its age is by the world's clock, not by ours."""
    ticket = unwrap(answer.body["ticket"], relay_key(CONTROL_KEY))
    return dict(jwt.decode(ticket, options={"verify_signature": False}))


def test_the_answer_is_as_published(here: Street) -> None:
    answer = ask(here)

    assert answer.status == 200
    answers.TerminalTicket.model_validate(answer.body)
    assert answer.body["url"].startswith(f"wss://relay.test/ws/terminal/{here.container_id}?ticket=")
    assert answer.body["expires_in"] == TICKET_SECONDS


@pytest.mark.parametrize(
    ("body", "user"),
    [(None, None), ({}, None), ({"user": ""}, None), ({"user": "root"}, "root"), ({"user": "user"}, "user")],
)
def test_a_ticket_is_for_this_container_as_whom_was_asked(here: Street, body: Any, user: str | None) -> None:
    found = claims(ask(here, body))

    container = here.served.world.containers.get(here.user_id, here.container_id)
    assert found["exp"] - found["iat"] == TICKET_SECONDS
    assert {name: found["grant"][name] for name in ("container_id", "generation", "host_id", "user")} == {
        "container_id": here.container_id,
        "generation": container.generation,
        "host_id": container.host_id,
        "user": ExecUser(user) if user else None,
    }


def test_no_two_tickets_are_the_same(here: Street) -> None:
    assert claims(ask(here))["jti"] != claims(ask(here))["jti"]


def test_where_the_host_is_stays_with_us(here: Street) -> None:
    grant = claims(ask(here))["grant"]

    said = str(ask(here).body)
    assert grant["host_id"] not in said
    assert grant["endpoint"] not in said


@pytest.mark.parametrize(
    ("body", "field"), [({"user": "nobody"}, "user"), ({"user": 3}, "user"), ({"shell": "zsh"}, "shell")]
)
def test_what_is_wrong_is_named(here: Street, body: Any, field: str) -> None:
    answer = ask(here, body)

    assert (answer.status, answer.body["field"]) == (400, field)


def test_a_deployment_without_a_relay_says_so(here: Street) -> None:
    world = here.served.world
    world.terminals = replace(world.terminals, url="")

    answer = ask(here)

    assert (answer.status, answer.body["code"]) == (404, "terminals_off")


def test_a_container_that_is_not_there_yet_has_none(here: Street) -> None:
    with here.served.on():
        accepted = here.served("POST", "/containers", here.tokens["owner"], body={"image": "debian"})

    answer = ask(replace(here, container_id=accepted.body["id"]))

    assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "status_conflict", "creating")


def test_a_host_that_has_not_been_heard_of_has_none(here: Street) -> None:
    world = here.served.world
    for host_id, host in list(world.hosts.rows.items()):
        world.hosts.rows[host_id] = host.model_copy(update={"report": None})

    answer = ask(here)

    assert (answer.status, answer.body["code"]) == (503, "host_silent")


CHECK = "/terminals/check"


def check(here: Street, ticket: object) -> Answer:
    with here.served.on():
        return here.served("POST", CHECK, body={"ticket": ticket})


def test_a_ticket_of_any_age_stands_for_access_while_its_token_is_good(here: Street) -> None:
    ticket = ask(here).body["ticket"]
    here.served.world.clock.advance(7200)

    answer = check(here, ticket)

    assert (answer.status, answer.body["id"]) == (200, here.container_id)
    answers.TerminalChecked.model_validate(answer.body)


def test_it_no_longer_does_when_the_token_was_revoked(here: Street) -> None:
    ticket = ask(here).body["ticket"]
    with here.served.on():
        tokens = here.served("GET", "/tokens", here.tokens["owner"]).body["tokens"]
        [own] = [each["id"] for each in tokens if each["name"] == "test"]
        here.served("DELETE", "/tokens/{token_id}", here.tokens["owner"], path={"token_id": own})
    here.served.world.clock.advance(31)

    assert check(here, ticket).status == 401


def test_nor_when_the_container_is_gone(here: Street) -> None:
    ticket = ask(here).body["ticket"]
    with here.served.on():
        path = {"container_id": here.container_id}
        here.served("DELETE", "/containers/{container_id}", here.tokens["owner"], path=path)

    assert check(here, ticket).status == 404


@pytest.mark.parametrize(("ticket", "status"), [("", 401), ("none of ours", 401), ("grüße", 401), (3, 400)])
def test_what_is_no_ticket_stands_for_nothing(here: Street, ticket: object, status: int) -> None:
    assert check(here, ticket).status == status


def test_checks_count_for_the_token_and_what_is_no_ticket_for_the_address(
    here: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = ask(here).body["ticket"]
    counted: list[str] = []
    monkeypatch.setattr(Rates, "request", lambda _rates, caller: counted.append(caller.user_id))
    monkeypatch.setattr(Rates, "unauthenticated", lambda _rates, address: counted.append(address))

    check(here, ticket)
    check(here, "none of ours")

    assert counted == [here.user_id, SOURCE]
