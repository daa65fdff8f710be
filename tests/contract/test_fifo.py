"""What a FIFO queue promises, asked of the faithful fake and of moto's SQS alike; where moto differs, it is said so.

`KNOWN_DIFFERENCES` are the promises of AWS that moto 5 does not keep: each is asserted to be broken there, so that
the list is struck when moto learns. Nothing may be concluded about order from moto where it stands in this list.
On LocalStack each is asserted to be kept, but for those in `LOCALSTACK_DIFFERENCES`.
"""

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from botocore.exceptions import ClientError

from tests.aws import Aws
from tests.fakes.fifo import DEDUPLICATION_SECONDS, Delivery, FifoQueue, ReceiptRefused

VISIBILITY = 1
MAX_RECEIVES = 3
LOCALSTACK_LATE_SECONDS = 1.5
"""LocalStack looks once a second for messages whose time is over."""


class Channel(Protocol):
    """A queue with dead letters, and time that can pass."""

    def send(self, body: str, group: str, identity: str) -> str: ...

    def receive(self, limit: int = 1) -> list[Delivery]: ...

    def receive_dead(self) -> list[Delivery]: ...

    def delete(self, receipt: str) -> None: ...

    def change_visibility(self, receipt: str, seconds: int) -> None: ...

    def wait(self, seconds: float) -> None: ...


class Memory(FifoQueue):
    def __init__(self) -> None:
        self.at = 0.0
        self.dead = FifoQueue(lambda: self.at)
        super().__init__(lambda: self.at, VISIBILITY, self.dead, MAX_RECEIVES)

    def receive_dead(self) -> list[Delivery]:
        return self.dead.receive()

    def wait(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Moto:
    sqs: Any
    url: str
    dead_url: str
    late: float = 0.0
    """Seconds after its time at which a message comes again."""

    def send(self, body: str, group: str, identity: str) -> str:
        answer = self.sqs.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=identity
        )
        return str(answer["MessageId"])

    def receive(self, limit: int = 1) -> list[Delivery]:
        return self._receive(self.url, limit)

    def receive_dead(self) -> list[Delivery]:
        return self._receive(self.dead_url, 1)

    def _receive(self, url: str, limit: int) -> list[Delivery]:
        answer = self.sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MaxNumberOfMessages=limit)
        return [
            Delivery(
                message["MessageId"],
                message["Body"],
                message["Attributes"]["MessageGroupId"],
                message["ReceiptHandle"],
                int(message["Attributes"]["ApproximateReceiveCount"]),
            )
            for message in answer.get("Messages", [])
        ]

    def delete(self, receipt: str) -> None:
        try:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=receipt)
        except ClientError as error:
            raise ReceiptRefused(receipt) from error

    def change_visibility(self, receipt: str, seconds: int) -> None:
        self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds + self.late)


def _moto(server: Aws) -> Moto:
    sqs, name = server.client("sqs"), uuid.uuid4().hex
    fifo = {"FifoQueue": "true"}
    dead_url = sqs.create_queue(QueueName=f"{name}-dead.fifo", Attributes=fifo)["QueueUrl"]
    dead = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = fifo | {
        "VisibilityTimeout": str(VISIBILITY),
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "RedrivePolicy": f'{{"deadLetterTargetArn": "{dead}", "maxReceiveCount": {MAX_RECEIVES}}}',
    }
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=attributes)["QueueUrl"]
    return Moto(sqs, url, dead_url, LOCALSTACK_LATE_SECONDS if server.cloud == "localstack" else 0.0)


@pytest.fixture(params=["memory", "moto"])
def queue(request: pytest.FixtureRequest) -> Channel:
    return Memory() if request.param == "memory" else _moto(request.getfixturevalue("server"))


def _send(queue: Channel, group: str, *bodies: str) -> None:
    for body in bodies:
        queue.send(body, group, f"{group}-{body}")


def _bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.body for delivery in deliveries]


def _take(queue: Channel) -> str:
    [delivery] = queue.receive()
    queue.delete(delivery.receipt)
    return delivery.body


def test_a_group_is_given_out_in_the_order_it_was_sent(queue: Channel) -> None:
    _send(queue, "a", "1", "2", "3")

    assert [_take(queue) for _ in range(3)] == ["1", "2", "3"]
    assert queue.receive() == []


def test_a_group_waits_while_one_of_its_messages_is_in_flight_and_the_others_do_not(queue: Channel) -> None:
    _send(queue, "a", "1", "2")
    _send(queue, "b", "3")

    first = queue.receive()
    second = queue.receive()

    assert _bodies(first + second) == ["1", "3"]
    assert queue.receive() == []
    queue.delete(first[0].receipt)
    assert _bodies(queue.receive()) == ["2"]


def test_one_receive_may_take_several_of_a_group_in_order(queue: Channel) -> None:
    _send(queue, "a", "1", "2", "3")

    assert _bodies(queue.receive(10)) == ["1", "2", "3"]


def test_what_is_not_deleted_in_time_comes_again_first_and_counts(queue: Channel) -> None:
    _send(queue, "a", "1", "2")
    queue.receive()

    queue.wait(VISIBILITY + 0.2)

    [again] = queue.receive()
    assert (again.body, again.count) == ("1", 2)


def test_a_receiver_may_say_when_its_message_comes_again(queue: Channel) -> None:
    _send(queue, "a", "1", "2")
    [first] = queue.receive()

    queue.change_visibility(first.receipt, 0)

    assert _bodies(queue.receive()) == ["1"]


def test_a_longer_visibility_keeps_the_group_waiting(queue: Channel) -> None:
    _send(queue, "a", "1", "2")
    [first] = queue.receive()

    queue.change_visibility(first.receipt, 60)
    queue.wait(VISIBILITY + 0.2)

    assert queue.receive() == []


def test_a_repeat_is_accepted_and_not_delivered(queue: Channel) -> None:
    queue.send("1", "a", "same")
    queue.send("2", "a", "same")

    assert _take(queue) == "1"
    assert queue.receive() == []


def test_what_fails_too_often_is_among_the_dead_letters_and_its_group_goes_on(queue: Channel) -> None:
    _send(queue, "a", "poison", "good")
    for _ in range(MAX_RECEIVES):
        [poison] = queue.receive()
        queue.change_visibility(poison.receipt, 0)

    following = queue.receive()

    assert _bodies(following or queue.receive()) == ["good"]
    [dead] = queue.receive_dead()
    assert (dead.body, dead.group) == ("poison", "a")


def test_groups_do_not_mix_whoever_is_first_deleted(queue: Channel) -> None:
    for number in range(4):
        _send(queue, f"g{number % 2}", str(number))

    given = queue.receive(10)

    for group in ("g0", "g1"):
        assert [each.body for each in given if each.group == group] == sorted(
            each.body for each in given if each.group == group
        )
    assert sorted(_bodies(given)) == ["0", "1", "2", "3"]


def _all_of_a_batch_come_again_from_the_oldest(queue: Channel) -> bool:
    _send(queue, "a", "0", "1", "2", "3")
    queue.receive(10)
    queue.wait(VISIBILITY + 0.2)
    return _bodies(queue.receive(10)) == ["0", "1", "2", "3"]


def _a_deduplication_id_outlives_its_message(queue: Channel) -> bool:
    queue.send("1", "a", "same")
    _take(queue)
    queue.send("2", "a", "same")
    return queue.receive() == []


def _the_same_id_in_two_groups_is_two_messages(queue: Channel) -> bool:
    queue.send("1", "a", "same")
    queue.send("2", "b", "same")
    return _bodies(queue.receive(10)) == ["1", "2"]


def _a_repeat_has_the_id_of_the_first(queue: Channel) -> bool:
    return queue.send("1", "a", "same") == queue.send("1", "a", "same")


def _a_receipt_whose_time_is_over_deletes_nothing(queue: Channel) -> bool:
    _send(queue, "a", "1")
    [first] = queue.receive()
    queue.wait(VISIBILITY + 0.2)
    queue.receive()
    with suppress(ReceiptRefused):
        queue.delete(first.receipt)
    queue.wait(VISIBILITY + 0.2)
    return _bodies(queue.receive()) == ["1"]


KNOWN_DIFFERENCES: list[Callable[[Channel], bool]] = [
    _all_of_a_batch_come_again_from_the_oldest,
    _a_deduplication_id_outlives_its_message,
    _the_same_id_in_two_groups_is_two_messages,
    _a_repeat_has_the_id_of_the_first,
    _a_receipt_whose_time_is_over_deletes_nothing,
]


LOCALSTACK_DIFFERENCES: list[Callable[[Channel], bool]] = [_a_receipt_whose_time_is_over_deletes_nothing]


@pytest.mark.parametrize("promise", KNOWN_DIFFERENCES, ids=lambda each: each.__name__.strip("_"))
def test_the_fake_keeps_what_aws_promises_and_moto_does_not(promise: Callable[[Channel], bool], server: Aws) -> None:
    known = {"moto": KNOWN_DIFFERENCES, "localstack": LOCALSTACK_DIFFERENCES}[server.cloud]

    assert promise(Memory())
    assert promise(_moto(server)) == (promise not in known)


def test_a_deduplication_id_is_free_after_five_minutes() -> None:
    queue = Memory()
    queue.send("1", "a", "same")
    queue.wait(DEDUPLICATION_SECONDS - 1)
    queue.send("2", "a", "same")
    queue.wait(1)
    queue.send("3", "a", "same")

    assert [_take(queue), _take(queue)] == ["1", "3"]


def test_dead_letters_go_back_to_their_queue_and_count_anew() -> None:
    queue = Memory()
    queue.send("1", "a", "one")
    for _ in range(MAX_RECEIVES):
        [delivery] = queue.receive()
        queue.change_visibility(delivery.receipt, 0)
    assert queue.receive() == []

    assert queue.dead.redrive(queue) == 1

    [again] = queue.receive()
    assert (again.body, again.count) == ("1", 1)
    assert queue.dead.waiting() == []
