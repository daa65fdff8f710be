"""The status function on queues of moto: what it can read of a batch is applied, and the batch kept for people."""

import itertools
from typing import Any

import pytest
from chalice.test import Client

from chalicelib import wiring
from chalicelib.contract.events import AboutContainer
from chalicelib.contract.signatures import public_key_of
from chalicelib.domain.container import Container
from infra.local.pumps import Source, record_of
from tests.app.conftest import Api
from tests.builders import a_report
from tests.fakes.world import HOST_KEY
from tests.newer import batch_of, creation, sealed_text

HOST = "host-1"
MAX_RECEIVES = 10


class Road:
    """The queue of events, its dead letters, and the function that takes from it as Lambda has it do."""

    def __init__(self, cloud: Client) -> None:
        self._cloud = cloud
        self._sqs = wiring._client("sqs")
        self._url = wiring._queue_url("events")
        self._numbers = itertools.count()
        self.letters = wiring.dead_letter_box("events")

    def send(self, events: list[AboutContainer], spoilt: dict[int, str]) -> None:
        self._sqs.send_message(
            QueueUrl=self._url,
            MessageBody=sealed_text(batch_of(events, spoilt), HOST),
            MessageGroupId=events[0].container_id,
            MessageDeduplicationId=str(next(self._numbers)),
        )

    def deliver(self) -> int:
        """All there is, until it is done with or given up; how often something failed."""
        failed = 0
        while messages := self._receive():
            try:
                self._cloud.lambda_.invoke("status", {"Records": [record_of(messages[0], SOURCE)]})
            except Exception:  # noqa: BLE001 - whatever a function fails with, Lambda does not delete the message
                failed += 1
            else:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=messages[0]["ReceiptHandle"])
        return failed

    def _receive(self) -> Any:
        for _ in range(2):  # moto buries a message and says that there is none, though the next one is there
            answer = self._sqs.receive_message(QueueUrl=self._url, AttributeNames=["All"], MaxNumberOfMessages=1)
            if found := answer.get("Messages", []):
                return found
        return []


SOURCE = Source("status", "", "arn:aws:sqs:eu-west-1:123456789012:berth-dev-events.fifo", "eu-west-1", 1)


@pytest.fixture
def road(cloud: Client) -> Road:
    return Road(cloud)


@pytest.fixture
def container(api: Api) -> Container:
    """One that is placed on a host."""
    wiring.hosts().enrol(HOST, public_key_of(HOST_KEY))
    wiring.hosts().heartbeat(HOST, a_report(), wiring.CLOCK.now())
    made = api.created()
    record = wiring.containers().get(made["user_id"], made["id"])
    return wiring.containers().place(record, wiring.hosts().get(HOST), wiring.CLOCK.now())


def stages(api: Api, container: Container) -> list[Any]:
    """What the log of the container's events says, in order."""
    events = api("GET", f"/containers/{container.id}/events").json_body["events"]
    return [event["container"].get("stage") or event["container"]["status"] for event in events]


def test_what_can_be_read_is_applied_once_and_the_message_is_among_the_dead_letters(
    road: Road, api: Api, container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    events = creation(container)
    road.send(events[:2], {1: "another field"})
    road.send(events[2:], {})

    assert road.deliver() == MAX_RECEIVES

    told = stages(api, container)
    assert api("GET", f"/containers/{container.id}").json_body["status"] == "running"
    assert len(told) == len(set(told)), told
    assert told.index("pulling") < told.index("starting") < told.index("ready")
    [letter] = road.letters.listed()
    assert letter.reason == "an event in it cannot be read"
    assert (letter.what, letter.group) == (f"batch {container.id} by {HOST}", container.id)
    assert "unreadable" in capsys.readouterr().out  # a measurement

    before = wiring.containers().get(container.user_id, container.id)
    road.letters.redrive()
    assert road.deliver() == MAX_RECEIVES
    assert wiring.containers().get(container.user_id, container.id) == before
    assert len(road.letters.listed()) == 1
