"""The local cloud: settings come in; REST, WebSocket, queues, schedules and moto run until told to stop.

It runs any Chalice app: what the app has is read from the app itself. One port serves REST, WebSocket and
`@connections`; moto's server has another.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from infra.ground.ports import unclaimed_port
from infra.local import schedules
from infra.local.errors import AppBroken, Broken, NotReady, PortTaken
from infra.local.functions import Functions, FunctionSettings
from infra.local.management import Management
from infra.local.processes import Child, python
from infra.local.pumps import Faults, Pump, Source
from infra.local.resources import Stack
from infra.local.rest import GatewayResponses, RestGateway
from infra.local.sockets import FRAME_LIMIT, MESSAGE_LIMIT, SocketGateway, SocketLimits, stage_paths
from infra.local.wakes import Wakes

log = logging.getLogger("berth.local")

ADDRESS = "127.0.0.1"
READY_SECONDS = 60.0
WATCH_SECONDS = 0.5
BROKEN_LOOK_SECONDS = 0.2
STAGE = "api"


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """What runs and where. Port 0 means any free one."""

    project: Path
    data: Path
    port: int = 0
    moto_port: int = 0
    region: str = "eu-west-1"
    template: Path | None = None
    """CloudFormation template with the app's tables and queues."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Given to every function besides what reaches moto."""
    gateway_responses: Mapping[str, Any] = field(default_factory=dict)
    socket_paths: tuple[str, ...] = ()
    base_paths: tuple[str, ...] = ()
    """Before the stage: what a domain of one's own would map to it too."""
    beside: Callable[[str], Sequence[BaseRoute]] = lambda _url: ()
    """Told the cloud's url: routes of what a deployment has beside the API, on the same port."""
    functions: FunctionSettings = field(default_factory=FunctionSettings)
    socket_limits: SocketLimits = field(default_factory=SocketLimits)
    schedule_speed: float = 1.0
    """Schedules run this many times as often."""
    reload: bool = False
    say: Callable[[str], None] = lambda _line: None


class LocalCloud:
    """One running cloud; use `open`."""

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self.port = free_port(settings.port, "--port")
        self.moto_port = free_port(settings.moto_port, "--moto-port")
        environment = {**self.aws_environment, **settings.environment, "BERTH_SOCKETS_ENDPOINT": self.url}
        self._wakes = Wakes()
        self._moto_log = settings.data / "logs" / "moto.log"
        self._moto = Child(
            "moto",
            python("infra.local.moto_server", str(self.moto_port), str(self._wakes.port)),
            {**os.environ, **self.aws_environment},
            self._moto_log,
        )
        self.functions = Functions(settings.project, environment, settings.data / "logs", settings.functions)
        self.rest = RestGateway(
            self.functions, GatewayResponses(settings.gateway_responses), STAGE, settings.base_paths
        )
        self.sockets = SocketGateway(self.functions, STAGE, settings.socket_limits)
        self.faults = Faults()
        self._work: list[asyncio.Task[Any]] = []
        self._server: uvicorn.Server | None = None
        self.loop: asyncio.AbstractEventLoop
        """Where it runs, once started."""

    @property
    def url(self) -> str:
        """Base of the REST API, and of the WebSocket API with `ws` for `http`."""
        return f"http://{ADDRESS}:{self.port}/{STAGE}"

    @property
    def aws_environment(self) -> dict[str, str]:
        """What makes an AWS client talk to this cloud."""
        return {
            "AWS_ENDPOINT_URL": f"http://{ADDRESS}:{self.moto_port}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.settings.region,
            "AWS_REGION": self.settings.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud."""
        environment = self.aws_environment
        session: Any = boto3.Session(
            environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=self.settings.region
        )
        return session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])

    def pids(self) -> dict[str, list[int]]:
        """Process ids of every part."""
        return {"gateway": [os.getpid()], "moto": [self._moto.pid], **self.functions.pids()}

    async def start(self) -> None:
        """Bring everything up, or an error of `errors`."""
        self.loop = asyncio.get_running_loop()
        self._work.append(asyncio.create_task(self._wakes.listen()))
        await self._moto_ready()
        if self.settings.template is not None:
            stack = Stack.read(self.settings.template, self.settings.parameters, self.settings.region)
            await asyncio.to_thread(stack.create, self.client("dynamodb"), self.client("sqs"))
        description = await self.functions.start()
        self._learn(description)
        await self._serve()
        await self._pump(description)
        if self.settings.reload:
            self._work.append(asyncio.create_task(self._watch()))

    async def deploy(self) -> None:
        """Give the app as it is now to the functions; AppBroken when it cannot be imported, and the old runs on."""
        self._learn(await self.functions.start())

    async def stop(self) -> None:
        """Take everything down, in order; nothing of it remains."""
        if self._server is not None:
            self._server.should_exit = True
            for connection in list(self.sockets.connections.values()):
                connection.close(1001)
        for task in reversed(self._work):
            task.cancel() if self._server is None or task is not self._work[0] else None
        await asyncio.gather(*self._work, return_exceptions=True)
        self.functions.stop()
        self._moto.stop(seconds=3)
        self._wakes.close()

    async def until_broken(self) -> None:
        """Wait for as long as it can go on, then raise Broken: moto's memory is all there is of tables and queues."""
        while self._moto.exit_code is None:
            await asyncio.sleep(BROKEN_LOOK_SECONDS)
        raise Broken(f"moto has ended, and all tables and queues with it: start again (read {self._moto_log})")

    def _learn(self, description: dict[str, Any]) -> None:
        self.rest.learn(description)
        self.sockets.learn(description)

    async def _moto_ready(self) -> None:
        ends = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < ends and self._moto.exit_code is None:
                with contextlib.suppress(httpx.HTTPError):
                    await client.get(f"http://{ADDRESS}:{self.moto_port}/moto-api/data.json")
                    return
                await asyncio.sleep(0.05)
        self._moto.stop(seconds=1)
        raise NotReady(f"moto did not start: read {self._moto_log}")

    async def _serve(self) -> None:
        limits: Any = (MESSAGE_LIMIT, FRAME_LIMIT)  # websockets takes both: of a message and of a frame
        config = uvicorn.Config(
            self._application(),
            host=ADDRESS,
            port=self.port,
            ws="websockets-sansio",
            ws_max_size=limits,
            ws_ping_interval=None,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._work.insert(0, asyncio.create_task(self._server.serve()))
        while not self._server.started:
            if self._work[0].done():
                raise NotReady("the gateway did not start")
            await asyncio.sleep(0.01)

    def _application(self) -> Starlette:
        management = Management(self.sockets)

        sockets = [WebSocketRoute(path, self.sockets.handle) for path in stage_paths(STAGE, self.settings.socket_paths)]
        application = Starlette(
            routes=[
                *sockets,
                *self.settings.beside(self.url),
                Route("/_local/status", self._status, methods=["GET"]),
                Route(
                    f"/{STAGE}/@connections/{{connection_id:path}}",
                    management.handle,
                    methods=["GET", "POST", "DELETE"],
                ),
            ]
        )
        application.router.default = self._rest
        return application

    async def _rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every other path, whatever characters it has; no pattern of the router's own says no before the gateway."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        response = await self.rest.handle(Request(scope, receive))
        await response(scope, receive, send)

    async def _status(self, _request: Request) -> Response:
        return JSONResponse({"url": self.url, "aws": self.aws_environment["AWS_ENDPOINT_URL"], "pids": self.pids()})

    async def _pump(self, description: dict[str, Any]) -> None:
        for queue in description["queues"]:
            source = await asyncio.to_thread(self._source, queue)
            pump = Pump(source, lambda: self.client("sqs"), self.functions, self.faults, self._wakes.of(queue["queue"]))
            self._work.append(asyncio.create_task(pump.run()))
        for schedule in description["schedules"]:
            seconds = schedules.seconds_of(schedule["expression"]) / self.settings.schedule_speed
            run = schedules.run(schedule["function"], seconds, self.functions, self.settings.region)
            self._work.append(asyncio.create_task(run))

    def _source(self, queue: dict[str, Any]) -> Source:
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=queue["queue"])["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        concurrency = self.settings.functions.concurrency.get(
            queue["function"], self.settings.functions.default_concurrency
        )
        return Source(queue["function"], url, arn, self.settings.region, concurrency)

    async def _watch(self) -> None:
        """Give new code to the functions as soon as a file of the app changes."""
        seen = _fingerprint(self.settings.project)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            found = await asyncio.to_thread(_fingerprint, self.settings.project)
            if found == seen:
                continue
            seen = found
            try:
                await self.deploy()
                self.settings.say("code changed: functions run the new code")
            except AppBroken as error:
                self.settings.say(f"code changed, but {error}; the old code runs on")


class _Server(uvicorn.Server):
    """Signals are the cloud's business, not the server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def open_cloud(settings: CloudSettings) -> AsyncIterator[LocalCloud]:
    """A cloud that is up inside the block and gone after it."""
    cloud = LocalCloud(settings)
    try:
        await cloud.start()
        yield cloud
    finally:
        await cloud.stop()


def free_port(wanted: int, option: str) -> int:
    """The port wanted, or any free one for 0; PortTaken when another program has it."""
    if wanted == 0:
        return unclaimed_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, wanted))
        except OSError as error:
            raise PortTaken(wanted, option) from error
    return wanted


def _fingerprint(project: Path) -> dict[str, float]:
    files = [project / "app.py", *project.joinpath("chalicelib").rglob("*")]
    return {str(each): each.stat().st_mtime for each in files if each.suffix in (".py", ".json") and each.exists()}
