"""`GET /containers/{id}/stats` over fakes: nothing is asked of AWS here."""

from typing import Any

import pytest

from chalicelib.contract.moments import rfc3339
from infra.apidocs import answers
from tests.fakes.world import used
from tests.machines.served import Answer
from tests.security.callers import ENGINE_ID, Street, street

ROUTE = "/containers/{container_id}/stats"


@pytest.fixture
def here() -> Street:
    return street()


def ask(here: Street, caller: str = "owner", container_id: str = "") -> Answer:
    with here.served.on():
        return here.served("GET", ROUTE, here.tokens[caller], path={"container_id": container_id or here.container_id})


def numbers(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    answers.Usage.model_validate(answer.body)
    return dict(answer.body)


def test_the_numbers_are_those_of_its_host_in_this_moment(here: Street) -> None:
    world = here.served.world

    assert numbers(ask(here)) == {
        "id": here.container_id,
        "container_id": ENGINE_ID,
        "at": rfc3339(world.clock.now()),
        **used().model_dump(),
    }
    [(host_id, call)] = world.agents.usage_calls
    assert (host_id, call.container_id, call.user_id) == ("host-1", here.container_id, here.user_id)
    assert call.generation == world.containers.get(here.user_id, here.container_id).generation


def test_what_the_host_cannot_tell_is_left_out(here: Street) -> None:
    here.served.world.agents.used = used(disk_usage=None)

    assert "disk_usage" not in numbers(ask(here))


def test_a_token_needs_the_scope(here: Street) -> None:
    answer = ask(here, "writer")

    assert answer.status == 403
    assert answer.body == {"error": "insufficient scope", "code": "insufficient_scope", "required": "read"}


def test_what_does_not_run_is_a_409_with_its_status_and_no_host_is_asked(here: Street) -> None:
    with here.served.on():
        created = here.served("POST", "/containers", here.tokens["owner"], body={"image": "alpine"})

    answer = ask(here, container_id=created.body["id"])

    assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "status_conflict", "creating")
    assert here.served.world.agents.usage_calls == []


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [("unknown", 409, "status_conflict"), ("busy", 429, "rate_limited"), ("engine_down", 503, "busy")],
)
def test_what_a_host_refuses_is_told(here: Street, refusal: str, status: int, code: str) -> None:
    here.served.world.agents.refusing["host-1"] = refusal

    answer = ask(here)

    assert (answer.status, answer.body["code"]) == (status, code)


def test_a_host_that_gives_no_answer_is_a_503(here: Street) -> None:
    here.served.world.agents.unreachable.add("host-1")

    answer = ask(here)

    assert (answer.status, answer.body["code"]) == (503, "host_silent")


def test_what_is_not_there_is_a_404(here: Street) -> None:
    assert ask(here, container_id=here.deleted_id).status == 404
