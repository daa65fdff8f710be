"""Berth on the local cloud: a data folder and ports come in; functions, a host agent and an engine run together."""

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from chalicelib.contract.agent_api import HostReport
from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.contract.terminals import relay_key
from infra.ground.engine import Engine
from infra.local.background import in_thread
from infra.local.cloud import ADDRESS, CloudSettings, LocalCloud, free_port, open_cloud
from infra.local.errors import NotReady
from infra.local.functions import FunctionSettings
from infra.local.hosts import HostPlan, LocalHost, new_key
from infra.local.processes import python
from infra.relay.api import Keys
from infra.relay.app import PATH, Relay, RelaySettings

PROJECT = Path(__file__).resolve().parents[2]
PREFIX = "berth-local"
SOCKET_PATHS = ("/api/containers/events",)
BASE_PATHS = ("v1-array", "v1-files-array")
"""For clients who want lists bare (`chalicelib/edge/dialects.py`)."""
CONCURRENCY = {
    "api_handler": 8,
    "websocket_connect": 4,
    "websocket_message": 4,
    "websocket_disconnect": 2,
    "provision": 4,
    "status": 8,
    "sweep": 1,
}
SECONDS = {"api_handler": 29.0, "websocket_connect": 29.0, "websocket_message": 29.0}


@dataclass(frozen=True, slots=True)
class BerthSettings:
    """Where one local Berth keeps its data and listens; `environment` overrides settings of the functions."""

    data: Path
    port: int = 0
    moto_port: int = 0
    agent_port: int = 0
    """Of the first host's agent."""
    hosts: int = 1
    reload: bool = False
    schedule_speed: float = 1.0
    environment: dict[str, str] = field(default_factory=dict)
    agent_options: tuple[str, ...] = ()
    keeps: bool = False
    """Whether containers run on when an agent is stopped in order, as on a real host; they end with the cloud."""
    wired: bool = False
    """Whether tests may cut hosts off (`Berth.hosts[...].calls` and `.aws`)."""
    say: Callable[[str], None] = lambda _line: None

    @property
    def host_ids(self) -> list[str]:
        """Of this data folder alone: two clouds may share an engine, and each removes its own hosts' containers."""
        key = hashlib.sha256(str(self.data.resolve()).encode()).hexdigest()[:6]
        return [f"host-{key}-{number}" for number in range(1, self.hosts + 1)]


@dataclass(frozen=True, slots=True)
class Berth:
    """A running local Berth."""

    cloud: LocalCloud
    environment: dict[str, str]
    """What an operator's command or an AWS client needs to reach it."""
    hosts: dict[str, LocalHost]

    @property
    def engine(self) -> Engine:
        """Of the first host, and of all when they share one."""
        return next(iter(self.hosts.values())).engine

    @property
    def url(self) -> str:
        return self.cloud.url

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    def report(self, host_id: str) -> HostReport | None:
        """What the host last said of itself."""
        found = self.cloud.client("dynamodb").get_item(
            TableName=f"{PREFIX}-hosts", Key={"host_id": {"S": host_id}}, ConsistentRead=True
        )
        text = found.get("Item", {}).get("report", {}).get("S")
        return HostReport.model_validate_json(text) if text else None

    def deploy(self) -> None:
        """Have all functions run new code, as after a deployment: what works now ends its work. From any thread."""
        asyncio.run_coroutine_threadsafe(self.cloud.deploy(), self.cloud.loop).result(60)

    def operator(self, *arguments: str) -> dict[str, Any]:
        """Run one of the operator's commands on it."""
        command = python("infra.aws.operator", "--json", *arguments)
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotReady(f"operator command {arguments[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def new_user(self, tier: str = "free") -> dict[str, Any]:
        """A user of this tier with a token."""
        return self.operator("create-user", "--tier", tier)


@contextlib.asynccontextmanager
async def open_berth(settings: BerthSettings, engine: Engine, *more: Engine) -> AsyncIterator[Berth]:
    """A Berth that takes containers inside the block, and of which nothing remains after it.

    Each host has the engine of its number; hosts beyond the last engine share the first.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    control_key = _control_key(settings.data)
    ports = [free_port(settings.agent_port if number == 0 else 0, "--agent-port") for number in range(settings.hosts)]
    cloud_settings = _cloud_settings(settings, control_key)
    async with open_cloud(cloud_settings) as cloud:
        engines = [engine, *more, *[engine] * settings.hosts]
        plans = [_plan(settings, cloud, *each) for each in zip(settings.host_ids, ports, engines, strict=False)]
        hosts = {plan.host_id: LocalHost(plan) for plan in plans}
        berth = Berth(cloud, {**cloud.aws_environment, **cloud_settings.environment}, hosts)
        try:
            for host in hosts.values():
                await asyncio.to_thread(_enrol, berth, host)
            await asyncio.gather(*(host.start(partial(_heard_of, berth, host.id)) for host in hosts.values()))
            for host in hosts.values():
                host.keep(settings.say)
            yield berth
        finally:
            await asyncio.gather(*(host.stop() for host in hosts.values()))


def running_berth(settings: BerthSettings, engine: Engine, *more: Engine) -> AbstractContextManager[Berth]:
    """The same for programs that are not asynchronous: it runs in a thread of its own."""
    return in_thread(lambda: open_berth(settings, engine, *more))


def _cloud_settings(settings: BerthSettings, control_key: str) -> CloudSettings:
    responses = json.loads((PROJECT / "infra/aws/gateway_responses.json").read_text())
    cloud = CloudSettings(
        project=PROJECT,
        data=settings.data,
        port=free_port(settings.port, "--port"),
        moto_port=settings.moto_port,
        template=PROJECT / "infra/aws/stack.json",
        parameters={"Prefix": PREFIX},
        gateway_responses=responses,
        socket_paths=SOCKET_PATHS,
        base_paths=BASE_PATHS,
        functions=FunctionSettings(CONCURRENCY, SECONDS),
        schedule_speed=settings.schedule_speed,
        reload=settings.reload,
        say=settings.say,
    )
    origins = f"http://{ADDRESS}:{cloud.port} http://localhost:{cloud.port}"
    environment = {
        "BERTH_STAGE": "local",
        "BERTH_PREFIX": PREFIX,
        "BERTH_CONTROL_PRIVATE_KEY": control_key,
        "BERTH_CONTROL_PUBLIC_KEY": public_key_of(control_key),
        "BERTH_ALLOWED_ORIGINS": origins,
        "BERTH_ANY_DISK": "yes",  # the engine at hand may be anybody's
        "BERTH_TERMINAL_URL": f"ws://{ADDRESS}:{cloud.port}{PATH}",
        **settings.environment,
    }
    keys = Keys(environment["BERTH_CONTROL_PUBLIC_KEY"], relay_key(control_key))
    relay = partial(_relay, keys, tuple(environment["BERTH_ALLOWED_ORIGINS"].split()))
    return replace(cloud, environment=environment, beside=relay)


def _relay(keys: Keys, origins: tuple[str, ...], url: str) -> Sequence[BaseRoute]:
    return Relay(RelaySettings(url, keys, origins)).routes()


def _control_key(data: Path) -> str:
    """The control plane's private key of this data folder, made at the first start."""
    path = data / "control-key.pem"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(new_private_key())
    (data / "control-key.pub").write_text(public_key_of(path.read_text()))
    return path.read_text()


def _plan(settings: BerthSettings, cloud: LocalCloud, host_id: str, port: int, engine: Engine) -> HostPlan:
    return HostPlan(
        host_id=host_id,
        engine=engine,
        port=port,
        data=settings.data / host_id,
        log=settings.data / "logs" / f"{host_id}.log",
        control_key=settings.data / "control-key.pub",
        moto_port=cloud.moto_port,
        queue_url=cloud.client("sqs").get_queue_url(QueueName=f"{PREFIX}-events.fifo")["QueueUrl"],
        environment=cloud.aws_environment,
        options=settings.agent_options,
        keeps=settings.keeps,
        wired=settings.wired,
    )


def _enrol(berth: Berth, host: LocalHost) -> None:
    """What an operator does for a new host: take its public key and make it known."""
    berth.operator("enrol-host", host.id, "--public-key", str(new_key(host.plan.data)))


def _heard_of(berth: Berth, host_id: str) -> bool:
    return berth.report(host_id) is not None
