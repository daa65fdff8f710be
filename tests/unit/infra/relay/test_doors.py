"""Who is let in, and what those are told who are not."""

from typing import Any

import httpx
import pytest

from chalicelib.contract.signatures import new_private_key
from chalicelib.contract.terminals import relay_key, unwrap
from tests.unit.infra.relay.conftest import (
    CONTAINER,
    KEY,
    ORIGIN,
    TOKEN,
    FakeApi,
    Running,
    closed,
    echo,
    greeted,
    told,
)

NOBODY: dict[str, str] = {}


@pytest.mark.parametrize(
    ("query", "options", "protocol"),
    [
        ("", {"additional_headers": {"Authorization": f"bearer {TOKEN}"}}, None),
        ("?token=bad", {}, None),
        ("", {"additional_headers": NOBODY, "subprotocols": ["rexec.v1", f"rexec.token.{TOKEN}"]}, "rexec.v1"),
        ("?token=x", {"additional_headers": NOBODY, "subprotocols": [f"berth.token.{TOKEN}", "berth.v1"]}, "berth.v1"),
        (f"?token={TOKEN}&ticket=bad", {"additional_headers": NOBODY}, None),
        ("", {"origin": ORIGIN}, None),
    ],
)
def test_the_first_credential_that_is_there_counts(
    relay: Running, query: str, options: dict[str, Any], protocol: str | None
) -> None:
    with relay.connect(query=query, **options) as socket:
        greeted(socket).send("hello")

        assert (socket.recv(timeout=5), socket.subprotocol) == ("hello", protocol)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {"additional_headers": NOBODY}),
        ("?token=", {"additional_headers": NOBODY}),
        ("?token=a%0Ab", {"additional_headers": NOBODY}),
        ("?ticket=nonsense", {"additional_headers": NOBODY}),
        ("", {"additional_headers": {"Authorization": "Basic eDp5"}}),
        ("", {"additional_headers": {"Authorization": "Bearer nonsense"}}),
        ("", {"additional_headers": NOBODY, "subprotocols": ["rexec.v1"]}),
    ],
)
def test_who_has_no_good_credential_is_refused_before_the_upgrade(
    relay: Running, query: str, options: dict[str, Any]
) -> None:
    status, body = relay.refusal(query=query, **options)

    assert (status, body["code"], relay.agent.asked) == (401, "unauthorized", [])


def test_pages_of_others_are_refused(relay: Running) -> None:
    assert relay.refusal(origin="https://evil.example")[1]["code"] == "origin_not_allowed"


def test_a_ticket_opens_the_agent_of_its_grant_with_the_ticket_the_host_wants(relay: Running) -> None:
    ticket = relay.api.ticket()

    with relay.by_ticket(ticket) as socket:
        greeted(socket)

    assert relay.agent.asked == [(f"/v1/containers/{CONTAINER}/terminal", f"Bearer {unwrap(ticket, relay_key(KEY))}")]


def test_what_of_the_query_is_the_agents_reaches_it_and_nothing_else(relay: Running) -> None:
    query = "?cols=100&rows=30&id=left%20pane&newSession=true&x=1&user=root"

    with relay.connect("box", query) as socket:
        greeted(socket)

    path = relay.agent.asked[0][0]
    assert path == f"/v1/containers/{CONTAINER}/terminal?id=left+pane&newSession=true&cols=100&rows=30"
    assert relay.api.users == ["root"]


def test_tickets_for_others_too_old_or_of_others_open_nothing(relay: Running) -> None:
    forged = FakeApi(relay.agent, key=new_private_key()).ticket()

    def refused(ticket: str) -> int:
        return relay.refusal(query=f"?ticket={ticket}", additional_headers=NOBODY)[0]

    tickets = [relay.api.ticket("another"), relay.api.ticket(age=90), forged]
    assert [refused(each) for each in tickets] == [403, 401, 401]
    assert relay.agent.asked == []


@pytest.mark.parametrize("reference", ["..", "a%20b", "-x", "x" * 200, "other"])
def test_what_is_no_container_is_not_found(relay: Running, reference: str) -> None:
    assert relay.refusal(reference)[1]["code"] == "not_found"


def test_a_user_that_there_is_not_is_refused(relay: Running) -> None:
    assert relay.refusal(query="?user=daemon")[0] == 400


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_what_the_api_refuses_the_client_is_told_as_it_is(relay: Running, status: int) -> None:
    relay.api.access = status

    assert relay.refusal() == (status, {"error": "no", "code": "no"})


def test_a_container_that_is_stopped_is_a_refusal_with_its_status(relay: Running) -> None:
    relay.api.status = "stopped"

    status, body = relay.refusal()

    assert (status, body["status"], body["code"]) == (409, "stopped", "status_conflict")


@pytest.mark.parametrize(
    ("answered", "client", "code"),
    [(401, 401, "unauthorized"), (409, 409, "status_conflict"), (503, 503, "host_silent"), (302, 503, "host_silent")],
)
def test_what_the_agent_refuses_is_refused_before_the_upgrade(
    relay: Running, answered: int, client: int, code: str
) -> None:
    relay.agent.status = answered

    status, body = relay.refusal()

    assert (status, body["code"]) == (client, code)


def test_why_a_host_takes_nobody_is_told_in_its_words(relay: Running) -> None:
    relay.agent.status, relay.agent.says = 409, "the container has no such user"

    assert relay.refusal()[1] == {"error": "the container has no such user", "code": "status_conflict"}


def test_a_host_that_is_gone_is_a_503(relay: Running) -> None:
    relay.agent.port = 1

    assert relay.refusal()[1]["code"] == "host_silent"


@pytest.mark.parametrize("limits", [{"api_url": "http://127.0.0.1:1/api"}])
def test_an_api_that_is_gone_is_a_503(relay: Running) -> None:
    assert relay.refusal() == (503, {"error": "the API does not answer", "code": "api_silent"})


def test_an_api_with_other_keys_is_a_fault_of_ours(relay: Running) -> None:
    relay.api.key = new_private_key()

    assert relay.refusal()[0] == 502


@pytest.mark.parametrize("limits", [{"of_one": 2}, {"of_all": 2}])
def test_there_are_so_many_seats_and_each_is_free_again(relay: Running, limits: dict[str, int]) -> None:
    with relay.connect() as one, relay.connect() as two:
        greeted(one)
        greeted(two)
        assert relay.refusal()[0] == (429 if "of_one" in limits else 503)

    health = relay.url.replace("ws", "http", 1) + "/health"
    with httpx.Client(trust_env=False) as http:
        while http.get(health).json()["connections"]:
            pass
    with relay.connect() as socket:
        greeted(socket)


def test_raw_is_what_the_shell_prints_and_nothing_else(relay: Running) -> None:
    relay.agent.shell = lambda line: (line.send("$ "), echo(line))[1]

    with relay.connect(query="?raw=1") as socket:
        assert socket.recv(timeout=5) == "$ "
    assert relay.agent.asked[0][0].endswith("?raw=1")


def test_with_a_token_whatever_the_api_knows_it_by_is_good(relay: Running) -> None:
    with relay.connect("box") as socket:
        assert told(socket) == {"type": "connected", "data": "connected to berth"}
        assert told(socket) == {"type": "container_status", "data": "running"}
        socket.close(1000)

    assert closed(socket)[0] == 1000
