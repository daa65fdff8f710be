"""The packaged archives, unpacked as Lambda does, with what Lambda has beside them and nothing else."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.signatures import new_private_key, public_key_of
from infra.aws.package import ARCHIVES, add_bytecode
from tests.archives import unpack
from tests.aws import REGION, ROOT, Aws, moto_server
from tests.deploy.conftest import Package

FOREIGN = ("docker", "starlette", "uvicorn", "moto", "pytest", "boto3", "botocore", "infra", "tests", "hypothesis")

INVOKE = """
import importlib, json, sys
task, layer, runtime, another, name = sys.argv[1:6]
sys.path[:0] = [task, layer, runtime, another]
module, attribute = name.split(".")
handler = getattr(importlib.import_module(module), attribute)

class Context:
    aws_request_id = "request"
    function_name = name
    memory_limit_in_mb = "512"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:" + name

    def get_remaining_time_in_millis(self):
        return 29000

result = handler(json.load(sys.stdin), Context())
modules = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
json.dump({"result": result, "files": sorted({m.__file__ for m in modules})}, sys.stdout)
"""


@pytest.fixture(scope="module")
def unpacked(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lambda")
    unpack(package.folder, folder)
    return folder


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        stack = server.with_stack()
        key = new_private_key()
        ssm = stack.client("ssm")
        ssm.put_parameter(Name=f"/{stack.prefix}/private", Value=key, Type="SecureString")
        ssm.put_parameter(Name=f"/{stack.prefix}/public", Value=public_key_of(key), Type="String")
        ssm.put_parameter(Name=f"/{stack.prefix}/sockets", Value=f"{server.endpoint}/api", Type="String")
        yield stack


@pytest.fixture
def invoke(unpacked: Path, aws: Aws) -> Callable[[str, Any], Any]:
    """A handler in a process of its own, as at a cold start, which Lambda tells the handler's name."""
    packages = unpacked / f"opt/python/lib/python3.{sys.version_info.minor}/site-packages"
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "BERTH_PREFIX": aws.prefix,
        "BERTH_CONTROL_KEY_SECRET": f"/{aws.prefix}/private",
        "BERTH_CONTROL_PUBLIC_KEY_PARAMETER": f"/{aws.prefix}/public",
        "BERTH_SOCKETS_ENDPOINT_PARAMETER": f"/{aws.prefix}/sockets",
    }

    def run(name: str, event: Any, layer: Path | None = None, **settings: str) -> Any:
        folders = [str(unpacked / "task"), str(packages), str(unpacked / "runtime"), str(layer or unpacked / "runtime")]
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", INVOKE, *folders, name],
            input=json.dumps(event),
            env=environment | {"_HANDLER": name} | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])  # measurements and log lines come before
        allowed = (*folders, os.path.realpath(Path(os.__file__).parent))
        outside = [each for each in answer["files"] if not os.path.realpath(each).startswith(_real(allowed))]
        assert [each for each in outside if not each.startswith(allowed)] == []
        return answer["result"]

    return run


def _real(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(os.path.realpath(each) for each in folders)


def test_only_what_runs_is_in_the_archives(unpacked: Path) -> None:
    packages = next((unpacked / "opt/python/lib").iterdir()) / "site-packages"
    shipped = {each.name.partition("-")[0] for each in packages.iterdir()}
    files = {str(each.relative_to(unpacked / "task")) for each in (unpacked / "task").rglob("*") if each.is_file()}

    assert not shipped & set(FOREIGN)
    assert {each.split("/")[0] for each in files} == {"app.py", "chalice", "chalicelib"}
    assert {each for each in files if each.startswith("chalice/")} == {"chalice/app.py", "chalice/__init__.py"}
    ours = {str(each.relative_to(ROOT)) for each in (ROOT / "chalicelib").rglob("*") if "__pycache__" not in each.parts}
    assert {each for each in files if each.startswith("chalicelib/")} == {e for e in ours if (ROOT / e).is_file()}


def test_the_archives_fit_into_lambda(unpacked: Path, package: Package) -> None:
    """50 MB each as uploaded directly, 250 MB unpacked together."""
    size = sum(each.stat().st_size for name in ("task", "opt") for each in (unpacked / name).rglob("*"))

    assert size < 250 * 1024**2
    assert all((package.folder / name).stat().st_size < 50 * 1024**2 for name in ARCHIVES)


def test_the_api_answers_out_of_the_archive(invoke: Callable[[str, Any], Any]) -> None:
    health, refused = invoke("app.app", _rest("/health")), invoke("app.app", _rest("/containers"))

    assert (health["statusCode"], json.loads(health["body"])) == (200, {"status": "ok"})
    assert (refused["statusCode"], set(json.loads(refused["body"]))) == (401, {"error", "code"})


def test_a_create_is_written_and_queued_out_of_the_archive(invoke: Callable[[str, Any], Any], aws: Aws) -> None:
    guest = json.loads(invoke("app.app", _rest("/auth/guest", "POST"))["body"])

    answer = invoke("app.app", _rest("/containers", "POST", {"image": "debian:bookworm"}, guest["token"]))

    assert answer["statusCode"] == 202
    received = aws.client("sqs").receive_message(QueueUrl=aws.queue_url("commands"))["Messages"]
    assert json.loads(received[0]["Body"])["container_id"] == json.loads(answer["body"])["id"]


def test_sockets_are_refused_opened_and_closed_out_of_the_archive(invoke: Callable[[str, Any], Any], aws: Aws) -> None:
    token = json.loads(invoke("app.app", _rest("/auth/guest", "POST"))["body"])["token"]

    assert invoke("app.connect", _socket("CONNECT"))["statusCode"] == 401
    assert invoke("app.connect", _socket("CONNECT", {"Authorization": f"Bearer {token}"}))["statusCode"] == 200
    assert invoke("app.disconnect", _socket("DISCONNECT"))["statusCode"] == 200
    received = aws.client("sqs").receive_message(QueueUrl=aws.queue_url("events"))["Messages"]
    asked = _queue(received[0]["Body"])
    assert invoke("app.status", asked) is None, "the list asked for is signed with the stage's key and accepted"
    assert invoke("app.message", _socket("MESSAGE") | {"body": '{"type":"ping"}'}) == {"statusCode": 200}


def test_queues_and_the_schedule_run_out_of_the_archive(invoke: Callable[[str, Any], Any]) -> None:
    command = {"kind": "create", "container_id": str(uuid.uuid4()), "user_id": "nobody", "generation": 1}

    assert invoke("app.provision", _queue(json.dumps(command))) is None
    assert invoke("app.status", _queue('{"signer":"somebody","text":"{}","signature":"AAAA"}')) is None
    assert invoke("app.sweep", _schedule()) is None


def test_a_traced_function_tells_xray_of_the_request_by_its_id(
    invoke: Callable[..., Any], aws: Aws, tmp_path: Path
) -> None:
    """The SDK comes as it does on AWS, in a layer of its own; the daemon is a socket that listens."""
    for name in ("aws_xray_sdk", "wrapt"):
        (tmp_path / name).symlink_to(Path(str(importlib.util.find_spec(name).origin)).parent)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(1)
        traced = {
            "BERTH_TRACING": "yes",
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        }
        answer = invoke("app.app", _rest("/auth/guest", "POST"), layer=tmp_path, **traced)
        told = [json.loads(text.partition("\n")[2]) for text in _heard(daemon)]

    [function] = [each for each in told if each["name"].startswith("## ")]
    assert function["annotations"]["trace"] == answer["headers"]["X-Request-Id"]
    below = [each for each in told if each["parent_id"] == function["id"]]
    assert ("dynamodb", "UpdateItem") in [(each["name"], each["aws"]["operation"]) for each in below]
    assert answer["body"] not in json.dumps(told)
    assert json.loads(answer["body"])["token"] not in json.dumps(told)


def _heard(daemon: socket.socket) -> Iterator[str]:
    """What has been sent, until nothing more comes for a second."""
    while True:
        try:
            yield daemon.recv(2**16).decode()
        except TimeoutError:
            return


def test_bytecode_is_used_where_the_package_has_it(package: Package, tmp_path: Path) -> None:
    archive = tmp_path / "deployment.zip"
    archive.write_bytes((package.folder / "deployment.zip").read_bytes())

    compiled = add_bytecode(archive)

    with zipfile.ZipFile(archive) as found:
        names = found.namelist()
        found.extractall(tmp_path / "task")
    assert compiled == len([each for each in names if each.endswith(".py")])
    source = tmp_path / "task/chalicelib/version.py"
    source.write_text("VERSION = 'from the source'\n")
    probe = "import sys; sys.path[:0] = [sys.argv[1]]; import chalicelib.version as v; print(v.VERSION)"
    command = [sys.executable, "-I", "-S", "-c", probe, str(tmp_path / "task")]
    assert "source" not in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _rest(path: str, method: str = "GET", body: Any = None, token: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": method,
            "stage": "api",
            "requestId": "request",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "test"},
        },
    }


def _socket(kind: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    routes = {"CONNECT": "$connect", "MESSAGE": "$default", "DISCONNECT": "$disconnect"}
    context = {
        "routeKey": routes[kind],
        "eventType": kind,
        "connectionId": "abc=",
        "apiId": "sockets",
        "stage": "api",
        "domainName": "sockets.example",
        "requestId": "request",
        "identity": {"sourceIp": "192.0.2.1"},
    }
    given = headers or {}
    return {
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _queue(body: str) -> dict[str, Any]:
    record = {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "receipt",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": "group"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:queue.fifo",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def _schedule() -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": {},
    }
