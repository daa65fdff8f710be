"""A message that nobody can read ends among the dead letters, and its neighbours do not wait for it."""

import time
import uuid
from typing import Any

import pytest

from tests.flow.conftest import User


def depth(sqs: Any, name: str) -> int:
    url = sqs.get_queue_url(QueueName=f"berth-local-{name}-dead.fifo")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


@pytest.mark.parametrize("body", ["nonsense", "{}", '{"kind":"explode"}', '{"kind":"create","container_id":5}'])
def test_a_poisoned_command_goes_to_the_dead_letters_and_others_do_not_wait(user: User, body: str) -> None:
    sqs = user.berth.cloud.client("sqs")
    before = depth(sqs, "commands")
    url = sqs.get_queue_url(QueueName="berth-local-commands.fifo")["QueueUrl"]
    poison = uuid.uuid4().hex
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=poison, MessageDeduplicationId=poison)

    created = user.create()

    assert user.until(created["id"], "running")["status"] == "running"
    ends = time.monotonic() + 30
    while depth(sqs, "commands") == before and time.monotonic() < ends:
        time.sleep(0.1)
    assert depth(sqs, "commands") == before + 1


def test_a_forged_event_changes_nothing_and_blocks_nobody(user: User) -> None:
    sqs = user.berth.cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="berth-local-events.fifo")["QueueUrl"]
    created = user.create()
    for body in ("nonsense", '{"v":1,"signer":"host-1","event":"{}","signature":"AAAA"}'):
        sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageGroupId=created["id"], MessageDeduplicationId=uuid.uuid4().hex
        )

    assert user.until(created["id"], "running")["status"] == "running"
