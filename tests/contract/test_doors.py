"""Queues, agents and sockets: what the adapters send, and how they translate what comes back."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from chalicelib.adapters.agent_http import HttpAgents
from chalicelib.adapters.apigw_sockets import CONFIG, ApiGatewaySockets
from chalicelib.adapters.sqs import SqsCommands, SqsEvents, SqsRedelivery
from chalicelib.adapters.system import SystemClock, SystemIds
from chalicelib.contract.agent_api import ExecCall, Held, Holdings, Removal, UsageCall
from chalicelib.contract.commands import Create, Delete, parse_command
from chalicelib.contract.events import Failed, ListRequested
from chalicelib.contract.signatures import CONTROL_PLANE, parse_envelope, public_key_of, seal, unseal, verify_call
from chalicelib.domain.errors import AgentRefused, AgentUnreachable, Busy, ConnectionGone, ConnectionStuck
from tests.aws import Aws
from tests.builders import a_cause, a_container, a_host, a_report, a_spec, about
from tests.fakes.stub import Stub, stub_server
from tests.fakes.world import CONTROL_KEY, ran, used


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_server() as server:
        yield server


@pytest.fixture
def agents() -> Iterator[HttpAgents]:
    with httpx.Client(trust_env=False) as client:
        yield HttpAgents(client, CONTROL_KEY, SystemClock(), SystemIds())


def test_a_call_is_signed_for_this_host_method_path_and_body(stub: Stub, agents: HttpAgents) -> None:
    spec = a_spec()

    agents.create(a_host("host-7", report=a_report(endpoint=stub.url)), spec)

    [(method, path, headers, body)] = stub.seen
    token = headers["authorization"].removeprefix("Bearer ")
    verify_call(
        token=token,
        public_pem=public_key_of(CONTROL_KEY),
        host_id="host-7",
        method="PUT",
        path=f"/v1/containers/{spec.container_id}",
        body=body,
    )
    assert (method, path) == ("PUT", f"/v1/containers/{spec.container_id}")


@pytest.mark.parametrize(("status", "code"), [(409, "tombstone"), (503, "draining"), (503, "full")])
def test_a_definite_no_is_a_refusal(stub: Stub, agents: HttpAgents, status: int, code: str) -> None:
    stub.status, stub.body = status, json.dumps({"error": "no", "code": code}).encode()

    with pytest.raises(AgentRefused) as refused:
        agents.create(a_host(report=a_report(endpoint=stub.url)), a_spec())

    assert refused.value.code == code


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (503, b"busy"), (409, b"{}"), (401, b"{}"), (404, b"")])
def test_every_other_answer_leaves_the_outcome_open(stub: Stub, agents: HttpAgents, status: int, body: bytes) -> None:
    stub.status, stub.body = status, body
    removal = Removal(container_id="c", user_id="u", generation=1)

    with pytest.raises(AgentUnreachable):
        agents.delete(a_host(report=a_report(endpoint=stub.url)), removal)


def test_what_a_host_holds_is_asked_for_by_a_signed_call_without_a_body(stub: Stub, agents: HttpAgents) -> None:
    held = Held(container_id="c", generation=2, running=True, age_seconds=1.5, step="ready")
    holdings = Holdings(host_id="host-7", containers=[held])
    stub.status, stub.body = 200, holdings.model_dump_json().encode()

    assert agents.holdings(a_host("host-7", report=a_report(endpoint=stub.url))) == holdings

    [(method, path, headers, body)] = stub.seen
    assert (method, path, body) == ("GET", "/v1/containers", b"")
    token = headers["authorization"].removeprefix("Bearer ")
    public = public_key_of(CONTROL_KEY)
    verify_call(token=token, public_pem=public, host_id="host-7", method=method, path=path, body=body)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"containers": [{"container_id": "c"}]}'])
def test_holdings_that_cannot_be_read_are_none(stub: Stub, agents: HttpAgents, body: bytes) -> None:
    stub.status, stub.body = 200, body

    with pytest.raises(AgentUnreachable):
        agents.holdings(a_host(report=a_report(endpoint=stub.url)))


def a_command() -> ExecCall:
    return ExecCall(container_id="c", user_id="u", generation=1, command=["echo", "hello"], timeout_seconds=1)


def test_a_command_is_answered_with_what_it_printed(stub: Stub, agents: HttpAgents) -> None:
    expected = ran(stdout="hello\n", exit_code=3)
    stub.status, stub.body = 200, expected.model_dump_json().encode()

    answer = agents.run(a_host(report=a_report(endpoint=stub.url)), a_command())

    assert answer == expected
    [(method, path, _, body)] = stub.seen
    assert (method, path) == ("POST", "/v1/containers/c/exec")
    assert ExecCall.model_validate_json(body) == a_command()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"stdout": 3}', b"no JSON"])
def test_an_answer_to_a_command_that_cannot_be_read_is_none(stub: Stub, agents: HttpAgents, body: bytes) -> None:
    stub.status, stub.body = 200, body

    with pytest.raises(AgentUnreachable):
        agents.run(a_host(report=a_report(endpoint=stub.url)), a_command())


def test_what_a_container_uses_is_answered_by_its_host(stub: Stub, agents: HttpAgents) -> None:
    stub.status, stub.body = 200, used(disk_usage=None).model_dump_json(exclude_none=True).encode()
    call = UsageCall(container_id="c", user_id="u", generation=1)

    assert agents.usage(a_host(report=a_report(endpoint=stub.url)), call) == used(disk_usage=None)

    [(method, path, _, body)] = stub.seen
    assert (method, path) == ("POST", "/v1/containers/c/stats")
    assert UsageCall.model_validate_json(body) == call
    stub.body = b'{"memory": 1}'
    with pytest.raises(AgentUnreachable):
        agents.usage(a_host(report=a_report(endpoint=stub.url)), call)


def test_a_command_may_take_its_time_and_no_more(stub: Stub, agents: HttpAgents) -> None:
    stub.delay = 4.2  # its second, and what an agent is given beside it, are over before

    with pytest.raises(AgentUnreachable):
        agents.run(a_host(report=a_report(endpoint=stub.url)), a_command())


def test_a_host_that_does_not_listen_is_unreachable(agents: HttpAgents) -> None:
    with pytest.raises(AgentUnreachable):
        agents.create(a_host(report=a_report(endpoint="http://127.0.0.1:9")), a_spec())
    with pytest.raises(AgentUnreachable):
        agents.create(a_host(report=None), a_spec())


@pytest.fixture
def sockets(stub: Stub) -> ApiGatewaySockets:
    session: Any = boto3
    client = session.client("apigatewaymanagementapi", endpoint_url=f"{stub.url}/api", config=CONFIG)
    return ApiGatewaySockets(client)


def test_a_frame_is_posted_to_its_connection(stub: Stub, sockets: ApiGatewaySockets) -> None:
    stub.status = 200

    sockets.send("L0SM9cOFvHcCIhw=", '{"type":"pong"}')

    [(method, path, _, body)] = stub.seen
    assert (method, path, body) == ("POST", "/api/@connections/L0SM9cOFvHcCIhw%3D", b'{"type":"pong"}')


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (410, "GoneException", ConnectionGone),
        (429, "LimitExceededException", ConnectionStuck),
        (500, "InternalServerError", ConnectionStuck),
    ],
)
def test_a_frame_that_does_not_arrive_says_why(
    stub: Stub, sockets: ApiGatewaySockets, status: int, kind: str, error: type[Exception]
) -> None:
    stub.status, stub.headers = status, {"x-amzn-ErrorType": kind}

    with pytest.raises(error):
        sockets.send("connection=", "text")


def test_closing_what_is_closed_is_nothing(stub: Stub, sockets: ApiGatewaySockets) -> None:
    stub.status, stub.headers = 410, {"x-amzn-ErrorType": "GoneException"}

    sockets.close("connection=")


def receive(aws: Aws, queue: str) -> list[dict[str, Any]]:
    sqs = aws.client("sqs")
    messages = []
    while True:
        found = sqs.receive_message(QueueUrl=aws.queue_url(queue), AttributeNames=["All"]).get("Messages")
        if not found:
            return messages
        messages += found
        sqs.delete_message(QueueUrl=aws.queue_url(queue), ReceiptHandle=found[0]["ReceiptHandle"])


def test_commands_of_one_container_are_one_group(stack: Aws) -> None:
    queue = SqsCommands(stack.client("sqs"), stack.queue_url("commands"))
    commands = [Create(container_id="c1", user_id="u"), Delete(container_id="c1", user_id="u")]

    for command in commands:
        queue.send(command)
        queue.send(command)

    messages = receive(stack, "commands")
    assert [parse_command(message["Body"]) for message in messages] == commands
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"c1"}


def test_a_command_sent_again_by_the_sweeper_is_a_new_message(stack: Aws) -> None:
    queue = SqsCommands(stack.client("sqs"), stack.queue_url("commands"))

    queue.send(Create(container_id="c2", user_id="u"))
    queue.send(Create(container_id="c2", user_id="u"), attempt=1)

    assert len(receive(stack, "commands")) == 2


def test_events_are_sealed_by_the_control_plane(stack: Aws) -> None:
    queue = SqsEvents(
        stack.client("sqs"), stack.queue_url("events"), lambda event: seal(event, CONTROL_PLANE, CONTROL_KEY)
    )
    container = a_container()
    failed = Failed(**about(container), cause=a_cause())

    queue.send(failed)
    queue.send(ListRequested(connection_id="con=", user_id="u"))

    messages = receive(stack, "events")
    opened = [unseal(parse_envelope(each["Body"]), public_key_of(CONTROL_KEY)) for each in messages]
    assert opened[0] == failed
    assert [each["Attributes"]["MessageGroupId"] for each in messages] == [container.id, "con="]


def test_a_queue_that_refuses_is_busy(stack: Aws) -> None:
    nowhere = stack.queue_url("events").replace("events", "nowhere")

    with pytest.raises(Busy):
        SqsCommands(stack.client("sqs"), nowhere).send(Create(container_id="c", user_id="u"))


def test_a_message_comes_again_when_told(stack: Aws) -> None:
    url = stack.queue_url("commands")
    SqsCommands(stack.client("sqs"), url).send(Create(container_id="c3", user_id="u"))
    sqs = stack.client("sqs")
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)

    SqsRedelivery(sqs, url).after(message["ReceiptHandle"], 0)

    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == message["Body"]
