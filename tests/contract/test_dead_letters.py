"""Dead letters on moto's SQS: listed they stay, redriven they are back in their queue, in order, once."""

import uuid
from typing import Any

import pytest

from chalicelib.adapters.dead_letters import DeadLetterBox
from chalicelib.contract.commands import Create
from chalicelib.contract.events import Heartbeat
from chalicelib.contract.signatures import new_private_key, seal
from tests.aws import Aws
from tests.builders import a_container, a_report
from tests.newer import batch_of, sealed_text
from tests.unit.chalicelib.domain.test_transitions import life


@pytest.fixture
def sqs(stack: Aws) -> Any:
    return stack.client("sqs")


@pytest.fixture
def urls(sqs: Any) -> tuple[str, str]:
    made = []
    for name in ("queue", "dead"):
        attributes = {"FifoQueue": "true", "VisibilityTimeout": "1"}
        made.append(sqs.create_queue(QueueName=f"{uuid.uuid4().hex}-{name}.fifo", Attributes=attributes)["QueueUrl"])
    return made[0], made[1]


def put(sqs: Any, url: str, body: str, group: str = "g") -> None:
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=uuid.uuid4().hex)


def bodies(sqs: Any, url: str) -> list[str]:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [message["Body"] for message in answer.get("Messages", [])]


def test_dead_commands_are_told_apart_and_stay(sqs: Any, urls: tuple[str, str]) -> None:
    queue, dead = urls
    good = Create(container_id="c-1", user_id="u").model_dump_json()
    secret = '{"kind":"create","container_id":"c-2","password":"hunter2"}'
    for number, body in enumerate((good, "nonsense", secret)):
        put(sqs, dead, body, group=f"g{number}")
    letters = DeadLetterBox(sqs, "commands", queue, dead)

    found = {letter.group: letter for letter in letters.listed()}

    assert {group: (letter.reason, letter.what) for group, letter in found.items()} == {
        "g0": ("could not be carried out", "create c-1"),
        "g1": ("cannot be read", "-"),
        "g2": ("cannot be read", "-"),
    }
    assert {letter.id for letter in letters.listed()} == {letter.id for letter in found.values()}
    assert bodies(sqs, queue) == []


def test_dead_events_name_who_signed_them(sqs: Any, urls: tuple[str, str]) -> None:
    queue, dead = urls
    event = Heartbeat(host_id="host-1", report=a_report())
    put(sqs, dead, seal(event, "host-1", new_private_key()), "host-1")
    put(sqs, dead, '{"v":9}', "g")
    container = a_container()
    put(sqs, dead, sealed_text(batch_of(life(container)[:2], {1: "another kind"})), container.id)

    found = {letter.group: letter.what for letter in DeadLetterBox(sqs, "events", queue, dead).listed()}

    assert found == {"host-1": "heartbeat by host-1", "g": "-", container.id: f"batch {container.id} by host-1"}


def test_what_is_redriven_is_back_in_order_and_gone_from_the_dead(sqs: Any, urls: tuple[str, str]) -> None:
    queue, dead = urls
    for number in range(3):
        put(sqs, dead, f"m{number}")
    letters = DeadLetterBox(sqs, "commands", queue, dead)

    assert [letter.body for letter in letters.redrive()] == ["m0", "m1", "m2"]

    assert bodies(sqs, queue) == ["m0", "m1", "m2"]
    assert letters.listed() == []
    assert letters.redrive() == []
