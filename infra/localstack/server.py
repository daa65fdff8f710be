"""LocalStack in host mode: a data folder comes in, a process on loopback goes out; nothing of it remains."""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from localstack_client.session import Session

from infra.ground.packages import Say
from infra.local.cloud import ADDRESS, free_port
from infra.local.processes import Child
from infra.localstack.environment import ensure_environment
from infra.localstack.errors import CannotStart

PLUGIN = Path(__file__).with_name("plugin")
REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""LocalStack takes an access key of twelve digits for the number of an account."""
READY_SECONDS = 90.0
STOP_SECONDS = 15.0

WHOSE = {
    "SQS, API Gateway REST, EventBridge, CloudFormation, Lambda's API and queue mappings, S3": "LocalStack's own",
    "IAM, STS, CloudWatch, Logs": "LocalStack's, over moto",
    "SSM": "moto's, in LocalStack",
    "DynamoDB": "moto's, through our plugin, one call at a time",
    "the processes that run functions": "our plugin's, without containers",
    "API Gateway WebSocket": "records alone, moto's; nobody can connect to it",
}
"""Whose work it is: what passes here says something about LocalStack's own alone."""


@dataclass(frozen=True, slots=True)
class Localstack:
    """One that runs."""

    port: int
    pid: int

    @property
    def endpoint(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes an AWS client talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "localstack",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **options: Any) -> Any:
        """A client by `localstack-client`."""
        return client_of(f"{ADDRESS}:{self.port}", service, **options)

    def health(self) -> dict[str, str]:
        """Every service that can be asked, with its state."""
        answer = httpx.get(f"{self.endpoint}/_localstack/health", trust_env=False, timeout=30)
        return dict(answer.raise_for_status().json()["services"])


def client_of(host: str, service: str, **options: Any) -> Any:
    """A client of the LocalStack at `host:port`."""
    session: Any = cast(Any, Session)(aws_access_key_id=ACCOUNT, region_name=REGION, localstack_host=host)
    return session.client(service, **options)


@contextlib.contextmanager
def running_localstack(data: Path, environment: Path, say: Say, port: int = 0) -> Iterator[Localstack]:
    """LocalStack inside the block; its processes and files are gone after it. CannotStart with the reason."""
    python = ensure_environment(environment, say)
    shutil.rmtree(data, ignore_errors=True)
    (data / "tmp").mkdir(parents=True)
    found, log = free_port(port, "--port"), data.with_suffix(".log")
    log.unlink(missing_ok=True)
    child = Child("localstack", [str(python), "-m", "localstack.runtime.main"], _variables(data.resolve(), found), log)
    try:
        _await_ready(child, found, log)
        say(f"LocalStack 4.13.1, host mode, http://{ADDRESS}:{found}")
        for services, whose in WHOSE.items():
            say(f"  {services}: {whose}")
        yield Localstack(found, child.pid)
    finally:
        child.stop(STOP_SECONDS)
        shutil.rmtree(data, ignore_errors=True)


def _variables(data: Path, port: int) -> dict[str, str]:
    """Everything of it in one folder, on loopback, asking nobody outside."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "TMPDIR": str(data / "tmp"),
        "FILESYSTEM_ROOT": str(data / "root"),
        "CONFIG_DIR": str(data / "config"),
        "OVERRIDE_IN_DOCKER": "0",
        "PYTHONPATH": str(PLUGIN.resolve()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_SERVER": "loopback",
        "GATEWAY_LISTEN": f"{ADDRESS}:{port}",
        "LOCALSTACK_HOST": f"{ADDRESS}:{port}",
        "SQS_ENDPOINT_STRATEGY": "path",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "EAGER_SERVICE_LOADING": "0",
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "moto",
        "LAMBDA_RUNTIME_EXECUTOR": "child",
        "BERTH_LAMBDA_PYTHON": sys.executable,
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "1",
    }


def _await_ready(child: Child, port: int, log: Path) -> None:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends and child.exit_code is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://{ADDRESS}:{port}/_localstack/health", trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise CannotStart(f"LocalStack did not start: read {log}")
