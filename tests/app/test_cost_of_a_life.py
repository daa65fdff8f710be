"""What one container's life costs in AWS calls: counted over the real functions, written down in docs/capacity.md."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client

from chalicelib import wiring
from chalicelib.contract.events import Batch, Created, Event, Progress, Ready, Removed
from chalicelib.contract.signatures import public_key_of, seal
from chalicelib.contract.statuses import PROGRESS, PULLED, Stage
from infra.aws import capacity
from tests.app.conftest import Api
from tests.builders import a_cause, a_connection, a_report, about
from tests.fakes.world import HOST_KEY

HOST = "host-1"


@pytest.fixture
def agent() -> Iterator[str]:
    """A host's agent that takes every call, and `@connections` that takes every frame."""

    class Takes(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_DELETE = do_POST = do_PUT  # noqa: N815 - the library's names

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(agent: str) -> dict[str, str]:
    return {"BERTH_SOCKETS_ENDPOINT": agent}


class Life:
    """Runs the functions on what is in the queues, and counts AWS calls by function."""

    def __init__(self, cloud: Client) -> None:
        self.cloud = cloud
        self.function = ""
        self.told = 0
        self.calls: Counter[tuple[str, str]] = Counter()
        self.writes: Counter[str] = Counter()
        for made in (wiring.commands, wiring.events):
            made()
        clients = [wiring._client("dynamodb"), wiring._client("sqs"), wiring.sockets()._client]
        for client in clients:
            client.meta.events.register("provide-client-params", self._called)

    def _called(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if not self.function:
            return
        self.calls[self.function, model.name] += 1
        if model.name == "TransactWriteItems":
            self.writes[self.function] += 2 * len(params["TransactItems"])
        elif model.name in ("PutItem", "UpdateItem", "DeleteItem"):
            self.writes[self.function] += 1

    def doing(self, function: str, work: Callable[[], Any]) -> Any:
        self.function = function
        try:
            return work()
        finally:
            self.function = ""

    def run(self, function: str, body: str) -> None:
        event = self.cloud.events.generate_sqs_event([body])
        self.doing(function, lambda: self.cloud.lambda_.invoke(function, event))

    def drain(self, queue: str, function: str) -> None:
        """Everything in the queue through its function."""
        sqs = wiring._client("sqs")
        url = wiring._queue_url(queue)
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", []):
            self.run(function, messages[0]["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])

    def host_says(self, *events: Event) -> None:
        for event in events:
            self.told += 1
            self.run("status", seal(event, HOST, HOST_KEY))


def test_a_life_costs_what_the_capacity_page_says(cloud: Client, api: Api, agent: str) -> None:
    wiring.hosts().enrol(HOST, public_key_of(HOST_KEY))
    wiring.hosts().heartbeat(HOST, a_report(endpoint=agent), wiring.CLOCK.now())
    warm = api.created()
    user = warm["user_id"]
    watcher = a_connection("watcher=", user_id=user, expires_at=wiring.CLOCK.now().replace(year=2100))
    wiring.connections().add(watcher, 10)
    wiring.connections().mark_listed(watcher)
    life = Life(cloud)
    life.drain("commands", "provision")
    life.drain("events", "status")
    life.calls.clear()
    life.writes.clear()

    made = life.doing("api_handler", lambda: api.created())
    life.drain("commands", "provision")
    life.drain("events", "status")
    container = wiring.containers().get(user, made["id"])
    life.host_says(*creation_of(container))
    life.doing("api_handler", lambda: api("DELETE", f"/containers/{made['id']}"))
    life.drain("commands", "provision")
    life.host_says(Removed(**about(container, 8), cause=a_cause()))

    assert wiring.containers().get(user, made["id"]).status == "deleted"
    assert dict(life.calls) == {(row.function, row.call): row.count for row in capacity.CALLS}
    assert dict(life.writes) == capacity.WRITES
    assert life.told == capacity.HOST_MESSAGES


def creation_of(container: Any) -> list[Event]:
    """What a host tells of a creation whose image it has and that takes a quarter of a second: two events at a time."""
    stages = [
        (Stage.PULLING, PULLED), (Stage.CREATING, PROGRESS[Stage.CREATING]), (Stage.STARTING, PROGRESS[Stage.STARTING]),
        (Stage.CONFIGURING, PROGRESS[Stage.CONFIGURING]),
    ]  # fmt: skip
    told = [(Progress, {"stage": stage, "progress": percent, "message": "m"}) for stage, percent in stages]
    told.insert(2, (Created, {"engine_id": "e" * 64}))
    told.append((Ready, {"engine_id": "e" * 64, "started_at": wiring.CLOCK.now()}))
    events = [kind(**about(container, number), **fields) for number, (kind, fields) in enumerate(told, 1)]
    return [Batch(events=events[place : place + 2]) for place in range(0, len(events), 2)]


def test_the_capacity_page_is_what_the_counts_say() -> None:
    page = Path(capacity.PAGE)

    assert page.read_text() == capacity.page()


def test_the_counts_are_readable_by_programs() -> None:
    assert json.loads(capacity.as_json())["calls"][0].keys() == {"function", "call", "count"}
