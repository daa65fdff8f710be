"""`DeadLetters` on real queues."""

import pytest

from chalicelib.adapters.sqs import SqsDeadLetters
from chalicelib.domain.errors import Busy
from chalicelib.settings import queue_name
from tests.aws import Aws


def test_messages_that_were_given_up_are_counted_by_queue(stack: Aws) -> None:
    sqs = stack.client("sqs")
    dead = SqsDeadLetters(sqs, lambda name: queue_name(stack.prefix, name))
    url = sqs.get_queue_url(QueueName=f"{stack.prefix}-events-dead.fifo")["QueueUrl"]

    for number in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId=str(number))

    assert (dead.waiting("commands"), dead.waiting("events")) == (0, 2)


def test_a_queue_that_is_not_there_is_not_counted_as_empty(stack: Aws) -> None:
    with pytest.raises(Busy):
        SqsDeadLetters(stack.client("sqs"), lambda name: f"{name}-elsewhere.fifo").waiting("events")
