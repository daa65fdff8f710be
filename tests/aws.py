"""moto's server with its lock, as a process of its own: a port comes out, tables and queues of our stack on it.

`BERTH_TEST_LOCALSTACK=127.0.0.1:4566` has the suites that take any cloud run on the LocalStack there instead.
"""

import contextlib
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.ground.ports import unclaimed_port
from infra.local.processes import Child
from infra.local.resources import Stack
from infra.localstack.server import client_of

ROOT = Path(__file__).resolve().parents[1]
REGION = "eu-west-1"
LOCALSTACK = "BERTH_TEST_LOCALSTACK"


@dataclass(frozen=True)
class Aws:
    endpoint: str
    prefix: str
    cloud: str = "moto"

    def client(self, service: str, **config: Any) -> Any:
        settings = Config(max_pool_connections=60, retries={"total_max_attempts": 2}, **config)
        if self.cloud == "localstack":
            return client_of(self.endpoint.removeprefix("http://"), service, config=settings)
        session: Any = boto3.Session("testing", "testing", region_name=REGION)
        return session.client(service, endpoint_url=self.endpoint, config=settings)

    def table(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def queue_url(self, name: str) -> str:
        return str(self.client("sqs").get_queue_url(QueueName=f"{self.prefix}-{name}.fifo")["QueueUrl"])

    def with_stack(self) -> "Aws":
        """The same server with a new set of tables and queues."""
        fresh = replace(self, prefix=f"t{uuid.uuid4().hex[:8]}")
        stack = Stack.read(ROOT / "infra/aws/stack.json", {"Prefix": fresh.prefix}, REGION)
        stack.create(fresh.client("dynamodb"), fresh.client("sqs"))
        return fresh


@contextlib.contextmanager
def cloud_server(log: Path) -> Iterator[Aws]:
    """The LocalStack that the environment names, or else moto's server."""
    if host := os.environ.get(LOCALSTACK):
        yield Aws(f"http://{host}", "", "localstack")
        return
    with moto_server(log) as aws:
        yield aws


@contextlib.contextmanager
def moto_server(log: Path) -> Iterator[Aws]:
    port = unclaimed_port()
    command = [sys.executable, "-m", "infra.local.moto_server", str(port)]
    child = Child("moto", command, {**os.environ, "PYTHONPATH": str(ROOT)}, log)
    try:
        _await_port(port, child)
        yield Aws(f"http://127.0.0.1:{port}", "")
    finally:
        child.stop()


def _await_port(port: int, child: Child) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and child.exit_code is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("moto's server did not start")
