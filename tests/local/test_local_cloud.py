"""The local cloud with an application that is not Berth: what API Gateway, SQS and EventBridge do, it does."""

import base64
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from infra.local.background import in_thread
from infra.local.cloud import CloudSettings, LocalCloud, open_cloud
from infra.local.errors import AppBroken, PortTaken
from infra.local.functions import FunctionSettings
from infra.local.sockets import SocketLimits

SAMPLE = Path(__file__).parent / "sample_app"
RESPONSES = {
    "MISSING_AUTHENTICATION_TOKEN": {
        "StatusCode": 404,
        "ResponseParameters": {"gatewayresponse.header.X-Request-Id": "context.requestId"},
        "ResponseTemplates": {"application/json": '{"error":"not found"}'},
    }
}


@dataclass
class Running:
    cloud: LocalCloud
    project: Path
    notes_file: Path
    said: list[str]

    def notes(self) -> list[dict[str, Any]]:
        text = self.notes_file.read_text() if self.notes_file.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def get(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        return httpx.request(method, self.cloud.url + path, timeout=20, trust_env=False, **options)

    @property
    def socket_url(self) -> str:
        return self.cloud.url.replace("http", "ws", 1)


def running(settings: CloudSettings) -> AbstractContextManager[LocalCloud]:
    return in_thread(lambda: open_cloud(settings))


def settings_for(folder: Path, said: list[str], **changes: Any) -> CloudSettings:
    project = folder / "project"
    if not project.exists():
        shutil.copytree(SAMPLE, project)
    values: dict[str, Any] = {
        "project": project,
        "data": folder / "data",
        "template": project / "stack.json",
        "environment": {"NOTES": str(folder / "notes")},
        "gateway_responses": RESPONSES,
        "functions": FunctionSettings(seconds={"api_handler": 1.5}),
        "schedule_speed": 60.0,
        "say": said.append,
    }
    return CloudSettings(**(values | changes))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, said = tmp_path_factory.mktemp("sample"), list[str]()
    with running(settings_for(folder, said)) as cloud:
        yield Running(cloud, folder / "project", folder / "notes", said)


def eventually(found: Callable[[], Any], seconds: float = 20) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_a_fixed_path_wins_over_a_parameter(sample: Running) -> None:
    assert sample.get("/things/fixed").json()["kind"] == "static"
    assert sample.get("/things/other").json()["name"] == "other"


def test_parameters_arrive_as_they_were_sent(sample: Running) -> None:
    assert sample.get("/things/x%20y%2Fz").json()["name"] == "x%20y%2Fz"
    assert sample.get("/things/a?q=1&q=2").json()["query"] == {"q": ["1", "2"]}
    assert sample.get("/things/a/").json()["name"] == "a"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/things/a"), ("GET", ""), ("HEAD", "/echo")]
)
def test_an_unknown_path_or_method_gets_the_configured_answer(sample: Running, method: str, path: str) -> None:
    answer = sample.get(path, method)

    assert answer.status_code == 404
    assert answer.headers["x-request-id"]
    assert method == "HEAD" or answer.json() == {"error": "not found"}


def test_text_arrives_as_text_and_what_the_app_calls_binary_in_base64(sample: Running) -> None:
    binary = {"Content-Type": "application/octet-stream"}
    assert sample.get("/echo", "POST", content="grüße").json()["body"] == "grüße"
    assert sample.get("/echo", "POST", content=b"\xff\xfe").json()["base64"] is False
    told = sample.get("/echo", "POST", content=b"\xff\xfe", headers=binary).json()
    assert (base64.b64decode(told["body"]), told["base64"]) == (b"\xff\xfe", True)
    assert sample.get("/echo", "POST").json()["body"] in (None, "")


def test_status_and_headers_come_back(sample: Running) -> None:
    answer = sample.get("/status/418")

    assert (answer.status_code, answer.json()) == (418, {"made": 418})
    assert answer.headers["x-own"] == "yes"
    assert answer.headers.get_list("x-two") == ["a", "b"]


def test_a_preflight_is_answered_without_the_function(sample: Running) -> None:
    answer = sample.get("/echo", "OPTIONS")

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-methods"] == "OPTIONS,POST"
    assert sample.get("/things/a", "OPTIONS").status_code == 404


def test_a_body_over_ten_megabytes_is_refused(sample: Running) -> None:
    assert sample.get("/echo", "POST", content=b"x" * (10 * 1024 * 1024 + 1)).status_code == 413


def test_a_function_that_crashes_is_a_502_and_the_next_request_is_served(sample: Running) -> None:
    assert sample.get("/crash").status_code == 502
    assert sample.get("/things/fixed").status_code == 200


def test_a_function_that_takes_too_long_is_a_504(sample: Running) -> None:
    assert sample.get("/slow").status_code == 504
    assert sample.get("/things/fixed").status_code == 200


def test_a_throttled_gateway_says_429(sample: Running) -> None:
    sample.cloud.rest.throttled = True
    try:
        assert sample.get("/things/fixed").status_code == 429
    finally:
        sample.cloud.rest.throttled = False


def test_a_socket_talks_to_its_function(sample: Running) -> None:
    with connect(sample.socket_url, subprotocols=["v1.sample"], proxy=None) as client:  # type: ignore[list-item]
        assert client.subprotocol == "v1.sample"
        client.send("hello")
        assert client.recv(timeout=10) == "heard hello"


def test_a_refused_connection_keeps_its_status(sample: Running) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"{sample.socket_url}?refuse=1", proxy=None):
        pass

    assert refused.value.response.status_code == 401
    assert not refused.value.response.body


def test_a_handler_that_fails_says_so_and_the_connection_stays(sample: Running) -> None:
    with connect(sample.socket_url, subprotocols=["v1.sample"], proxy=None) as client:  # type: ignore[list-item]
        client.send("fail")
        assert json.loads(client.recv(timeout=10))["message"] == "Internal server error"
        client.send("again")
        assert client.recv(timeout=10) == "heard again"


def test_disconnects_are_told_unless_dropped(sample: Running) -> None:
    with connect(sample.socket_url, subprotocols=["v1.sample"], proxy=None):  # type: ignore[list-item]
        [connection_id] = eventually(lambda: list(sample.cloud.sockets.connections))

    assert eventually(lambda: {"disconnected": connection_id} in sample.notes())


def test_connections_can_be_asked_and_closed_by_their_id(sample: Running) -> None:
    session: Any = boto3
    management = session.client("apigatewaymanagementapi", endpoint_url=sample.cloud.url)
    with connect(sample.socket_url, subprotocols=["v1.sample"], proxy=None) as client:  # type: ignore[list-item]
        [connection_id] = eventually(lambda: list(sample.cloud.sockets.connections))
        assert management.get_connection(ConnectionId=connection_id)["Identity"]["SourceIp"] == "127.0.0.1"
        with pytest.raises(ClientError, match="PayloadTooLargeException"):
            management.post_to_connection(ConnectionId=connection_id, Data=b"x" * (128 * 1024 + 1))
        management.delete_connection(ConnectionId=connection_id)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)

    with pytest.raises(ClientError, match="GoneException"):
        eventually(lambda: management.post_to_connection(ConnectionId=connection_id, Data=b"x"))
    unsigned = sample.get(f"/@connections/{connection_id}", "POST", content="x")
    assert unsigned.status_code == 403


def send(sample: Running, group: str, number: int, **fields: Any) -> None:
    sqs = sample.cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="sample.fifo")["QueueUrl"]
    body = json.dumps({"number": number} | fields)
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=f"{group}{number}")


def of_group(sample: Running, group: str) -> list[dict[str, Any]]:
    return [each for each in sample.notes() if each.get("group") == group]


def test_messages_of_a_group_come_in_order(sample: Running) -> None:
    for number in range(6):
        for group in ("a", "b"):
            send(sample, group, number)

    eventually(lambda: len(of_group(sample, "a")) == len(of_group(sample, "b")) == 6)

    for group in ("a", "b"):
        assert [each["number"] for each in of_group(sample, group)] == list(range(6))


def test_a_message_that_fails_comes_again_before_its_followers(sample: Running) -> None:
    send(sample, "c", 0, failures=2)
    send(sample, "c", 1)

    eventually(lambda: len(of_group(sample, "c")) == 4)

    assert [(each["number"], each["count"]) for each in of_group(sample, "c")] == [(0, 1), (0, 2), (0, 3), (1, 1)]


def test_messages_can_be_delivered_twice_on_demand(sample: Running) -> None:
    sample.cloud.faults.duplicate_share = 1.0
    try:
        send(sample, "d", 0)
        eventually(lambda: len(of_group(sample, "d")) == 2)
    finally:
        sample.cloud.faults.duplicate_share = 0.0


def test_a_message_is_handled_soon(sample: Running) -> None:
    send(sample, "warm", 0)
    eventually(lambda: of_group(sample, "warm"))
    began = time.time()
    send(sample, "quick", 0)

    assert eventually(lambda: of_group(sample, "quick"))[0]["at"] - began < 2


def test_schedules_run(sample: Running) -> None:
    assert eventually(lambda: {"tick": "aws.events"} in sample.notes())


def test_tables_of_the_template_are_there(sample: Running) -> None:
    assert "sample" in sample.cloud.client("dynamodb").list_tables()["TableNames"]


def test_status_names_every_process(sample: Running) -> None:
    status = httpx.get(sample.cloud.url.removesuffix("/api") + "/_local/status", trust_env=False).json()

    assert {"gateway", "moto", "api_handler"} <= set(status["pids"])


def test_idle_and_old_connections_are_closed(tmp_path: Path) -> None:
    limits = SocketLimits(idle_seconds=1.0, lifetime_seconds=2.0)
    with running(settings_for(tmp_path, [], socket_limits=limits)) as cloud:
        url = cloud.url.replace("http", "ws", 1)
        with connect(url, subprotocols=["v1.sample"], proxy=None) as idle:  # type: ignore[list-item]
            with pytest.raises(ConnectionClosed) as closed:
                idle.recv(timeout=10)
        with connect(url, subprotocols=["v1.sample"], proxy=None) as busy:  # type: ignore[list-item]
            with pytest.raises(ConnectionClosed) as old:
                while True:
                    busy.send("x")
                    busy.recv(timeout=10)
                    time.sleep(0.2)

    for each in (closed.value, old.value):
        assert each.rcvd is not None
        assert each.rcvd.code == 1001


def test_changed_code_is_live_and_broken_code_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    with running(settings_for(tmp_path, said, reload=True)) as cloud:
        shared = tmp_path / "project/chalicelib/__init__.py"
        run = Running(cloud, tmp_path / "project", tmp_path / "notes", said)
        assert run.get("/things/fixed").json()["answer"] == "first"

        shared.write_text('ANSWER = "second"\n')
        eventually(lambda: run.get("/things/fixed").json()["answer"] == "second")

        shared.write_text("ANSWER = (\n")
        eventually(lambda: any("old code runs on" in line for line in said))
        assert run.get("/things/fixed").json()["answer"] == "second"


def test_an_application_that_cannot_be_imported_is_told_in_one_line(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, [])
    (tmp_path / "project/app.py").write_text("import nothing_of_that_name\n")

    with pytest.raises(AppBroken, match="nothing_of_that_name"), running(settings):
        pass


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is taken.*--port"):
            with running(settings_for(tmp_path, [], port=port)):
                pass


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with running(settings_for(tmp_path, [])) as cloud:
        httpx.get(cloud.url + "/things/fixed", trust_env=False)
        pids = [pid for name, each in cloud.pids().items() if name != "gateway" for pid in each]
        assert len(pids) >= 2

    assert eventually(lambda: not [pid for pid in pids if _runs(pid)], 5)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_deployment_has_beside_its_api_is_served_and_sent_away_at_the_end(tmp_path: Path) -> None:
    told: list[str] = []

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    def beside(url: str) -> list[BaseRoute]:
        told.append(url)
        return [WebSocketRoute("/beside/{name}", echo)]

    with running(settings_for(tmp_path, [], beside=beside)) as cloud:
        opened = connect(f"ws://127.0.0.1:{cloud.port}/beside/it", proxy=None, legacy=True)
        opened.send("hello")
        assert (opened.recv(timeout=5), told) == ("hello", [cloud.url])
        began = time.monotonic()

    with pytest.raises(ConnectionClosed):
        opened.recv(timeout=5)
    assert (opened.close_code, time.monotonic() - began < 10) == (1012, True)
