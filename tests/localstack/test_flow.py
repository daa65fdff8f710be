"""One container from POST to gone: REST, queues and functions are LocalStack's, the agent works on a real engine."""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import docker
import httpx
from websockets.sync.client import ClientConnection, connect

from infra.local.hosts import LocalHost
from infra.localstack.application import Application
from infra.localstack.gateway import terminal_url
from infra.localstack.host import operator

PATIENCE_SECONDS = 90


def _until(what: str, look: Callable[[], Any]) -> Any:
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"it never came to this: {what}")


def test_from_post_to_gone(application: Application, host: LocalHost) -> None:
    token = operator(application, "create-user", "--tier", "pro")["token"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=application.url, headers=headers, timeout=60, trust_env=False) as api:
        created = api.post(
            "/containers", json={"image": "debian:bookworm", "memory_mb": 256, "name": "there", "role": "barebone"}
        )
        assert created.status_code == 202, created.text
        path = f"/containers/{created.json()['id']}"

        def running() -> Any:
            item = api.get(path).json()
            return item if item["status"] in ("running", "error") else None

        item = _until("running", running)
        assert item["status"] == "running", item
        with contextlib.closing(host.engine.client()) as client:
            assert client.containers.get(item["container_id"]).status == "running"
            stages = [each["container"].get("stage") for each in api.get(f"{path}/events").json()["events"]]
            assert next(filter(None, stages)) == "validating"
            assert "ready" in stages

            assert api.delete(path).status_code == 200
            assert api.get(path).status_code == 404
            _until("gone", lambda: not _exists(client, item["container_id"]))


def _exists(client: Any, engine_id: str) -> bool:
    try:
        client.containers.get(engine_id)
    except docker.errors.NotFound:
        return False
    return True


def test_the_functions_are_lambdas_that_read_their_queues(application: Application) -> None:
    functions = application.localstack.client("lambda")

    mappings = functions.list_event_source_mappings()["EventSourceMappings"]

    assert {each["FunctionName"] for each in functions.list_functions()["Functions"]} >= {
        "berth-dev",
        "berth-dev-status",
    }
    assert {each["EventSourceArn"].rpartition(":")[2] for each in mappings} == {
        f"berth-dev-{name}.fifo" for name in ("commands", "events", "enrolments")
    }


def test_who_has_no_token_is_refused_by_the_function(application: Application) -> None:
    answer = httpx.get(f"{application.url}/containers", timeout=60, trust_env=False)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


def test_frames_of_a_life_and_its_terminal_come_over_our_gateway(
    application: Application, host: LocalHost, url: str
) -> None:
    headers = {"Authorization": f"Bearer {operator(application, 'create-user', '--tier', 'pro')['token']}"}
    socket_url = url.replace("http", "ws", 1)
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as api,
        connect(socket_url, additional_headers=headers, proxy=None, open_timeout=60) as socket,
    ):
        assert _frame(socket)["type"] == "list"
        created = api.post("/containers", json={"image": "debian:bookworm", "memory_mb": 256, "role": "barebone"})
        assert created.status_code == 202, created.text
        path = f"/containers/{created.json()['id']}"
        heard = [_frame(socket)]
        while heard[-1]["type"] != "updated":
            heard.append(_frame(socket))
        ticket = api.post(f"{path}/terminal", json={}).json()
        by_token = f"{terminal_url(int(url.rpartition(':')[2].partition('/')[0]))}/{created.json()['id']}"
        shown = [_typed(ticket["url"]), _typed(by_token, headers)]
        assert api.delete(path).status_code == 200
        gone = _frame(socket)

    assert ["there-42" in each for each in shown] == [True, True], shown
    assert heard[-1]["container"]["status"] == "running"
    assert [each["seq"] for each in [*heard, gone]] == list(range(1, len(heard) + 2))
    assert gone["type"] == "deleted"


def _typed(url: str, headers: dict[str, str] | None = None) -> str:
    """What a terminal there shows of a sum."""
    shown = ""
    with connect(url, additional_headers=headers, proxy=None, open_timeout=60) as socket:
        socket.send(json.dumps({"type": "input", "data": "echo there-$((6 * 7))\r"}))
        while "there-42" not in shown:
            frame = _frame(socket)
            shown += frame["data"] if frame["type"] == "output" else ""
    return shown


def _frame(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=PATIENCE_SECONDS)))
