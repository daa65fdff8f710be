"""A host of Berth on LocalStack: an application and an engine come in, an enrolled agent that is heard of goes out."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from infra.ground.engine import Engine
from infra.local.cloud import free_port
from infra.local.hosts import HostPlan, LocalHost, new_key
from infra.local.processes import python
from infra.localstack.application import Application
from infra.localstack.errors import CannotStart

HOST = "host-localstack-1"


@contextlib.asynccontextmanager
async def open_host(application: Application, engine: Engine, data: Path, *options: str) -> AsyncIterator[LocalHost]:
    """A host that takes containers inside the block; nothing of it remains on the engine."""
    host = LocalHost(await asyncio.to_thread(_plan, application, engine, data, options))
    key = str(new_key(host.plan.data))
    await asyncio.to_thread(operator, application, "enrol-host", HOST, "--public-key", key)
    dynamodb, table = application.localstack.client("dynamodb"), f"{application.prefix}-hosts"
    try:
        await host.start(lambda: "report" in dynamodb.get_item(TableName=table, Key={"host_id": {"S": HOST}})["Item"])
        yield host
    finally:
        await host.stop()


def operator(application: Application, *arguments: str) -> dict[str, Any]:
    """Run one of the operator's commands on it."""
    environment = {**os.environ, **application.environment}
    command = python("infra.aws.operator", "--json", *arguments)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"operator command {arguments[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return dict(json.loads(done.stdout))


def _plan(application: Application, engine: Engine, data: Path, options: tuple[str, ...]) -> HostPlan:
    data.mkdir(parents=True, exist_ok=True)
    (data / "control-key.pub").write_text(application.deployment.parameters.ensure_keys())
    port = free_port(0, "--agent-port")
    application.localstack.open_door(port)
    queue = application.localstack.client("sqs").get_queue_url(QueueName=f"{application.prefix}-events.fifo")
    return HostPlan(
        host_id=HOST,
        engine=engine,
        port=port,
        data=data / "agent",
        log=data / "agent.log",
        control_key=data / "control-key.pub",
        moto_port=application.localstack.port,
        queue_url=queue["QueueUrl"],
        environment=application.localstack.environment,
        options=options,
    )
