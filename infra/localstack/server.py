"""A LocalStack that runs: its port comes in; clients, health and whose its services are go out."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
from localstack_client.session import Session

from infra.ground.packages import Say
from infra.local.cloud import ADDRESS
from infra.localstack.errors import CannotStart

VERSION = "4.13.1"
PLUGIN = Path(__file__).with_name("plugin")
REGION = "eu-west-1"
ACCOUNT = "123456789012"
"""LocalStack takes an access key of twelve digits for the number of an account."""
READY_SECONDS = 90.0

WHOSE = {
    "SQS, API Gateway REST, EventBridge, CloudFormation, Lambda's API and queue mappings, S3": "LocalStack's own",
    "IAM, STS, CloudWatch, Logs": "LocalStack's, over moto",
    "SSM": "moto's, in LocalStack",
    "DynamoDB": "moto's, through our plugin, one call at a time",
    "API Gateway WebSocket": "records alone, moto's; nobody can connect to it",
}
"""Whose work it is: what passes here says something about LocalStack's own alone."""

ON_MOTO = {"PROVIDER_OVERRIDE_DYNAMODB": "moto", "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "moto"}
"""LocalStack's environment where it has no DynamoDB."""


@dataclass(frozen=True, slots=True)
class Localstack:
    """One that runs. `open_door` lets its functions reach a port of the machine's loopback."""

    port: int
    pid: int
    way: str
    whose: Mapping[str, str]
    open_door: Callable[[int], None]

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

    def introduce(self, say: Say) -> None:
        """Say where it is, and which of its services are its own."""
        say(f"LocalStack {VERSION}, {self.way}, {self.endpoint}")
        for services, whose in self.whose.items():
            say(f"  {services}: {whose}")


def client_of(host: str, service: str, **options: Any) -> Any:
    """A client of the LocalStack at `host:port`."""
    session: Any = cast(Any, Session)(aws_access_key_id=ACCOUNT, region_name=REGION, localstack_host=host)
    return session.client(service, **options)


def variables(port: int) -> dict[str, str]:
    """LocalStack's environment, wherever it runs: on loopback, asking nobody outside."""
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "GATEWAY_LISTEN": f"{ADDRESS}:{port}",
        "LOCALSTACK_HOST": f"{ADDRESS}:{port}",
        "SQS_ENDPOINT_STRATEGY": "path",
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "EAGER_SERVICE_LOADING": "0",
        "LAMBDA_RUNTIME_EXECUTOR": "child",
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "1",
    }


def await_ready(port: int, runs: Callable[[], bool]) -> None:
    """Until it answers; CannotStart when it has ended or takes too long."""
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends and runs():
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://{ADDRESS}:{port}/_localstack/health", trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise CannotStart("LocalStack did not start")
