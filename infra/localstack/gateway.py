"""The door to Berth on LocalStack: REST goes on to LocalStack's API, sockets are ours and call its Lambdas.

LocalStack's package has no WebSocket APIs: upgrades, frames and `@connections` are those of the local cloud. The
relay of terminals is on the same port.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from infra.aws.finish import STAGE
from infra.aws.template import function_name
from infra.local.berth import SOCKET_PATHS
from infra.local.cloud import ADDRESS
from infra.local.functions import Outcome
from infra.local.management import Management
from infra.local.sockets import FRAME_LIMIT, MESSAGE_LIMIT, SocketGateway, SocketLimits, stage_paths
from infra.localstack.application import Application
from infra.relay.app import PATH, Relay, RelaySettings

HANDLERS = {"sockets": ["$connect", "$default", "$disconnect"]}
HOP = {"connection", "content-length", "transfer-encoding", "host", "date", "server"}


class Lambdas:
    """Functions by their names in `app.py`, as LocalStack's Lambdas."""

    def __init__(self, application: Application) -> None:
        self._client = application.localstack.client("lambda")
        self._prefix = application.prefix

    async def invoke(self, name: str, event: Any) -> Outcome:
        """Run it once."""
        return await asyncio.to_thread(self._invoke, function_name(self._prefix, name), event)

    def _invoke(self, name: str, event: Any) -> Outcome:
        answer = self._client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        result = json.loads(answer["Payload"].read())
        return Outcome(error=result) if "FunctionError" in answer else Outcome(result=result)


@asynccontextmanager
async def open_gateway(application: Application, port: int) -> AsyncIterator[str]:
    """Its base URL, as long as the block runs; functions are told where `@connections` is."""
    sockets = SocketGateway(cast(Any, Lambdas(application)), STAGE, SocketLimits())
    sockets.learn(HANDLERS)
    relay = Relay(RelaySettings(application.url, await asyncio.to_thread(application.relay_keys)))
    url = f"http://{ADDRESS}:{port}/{STAGE}"
    await asyncio.to_thread(application.localstack.open_door, port)
    await asyncio.to_thread(application.deployment.parameters.put_sockets_endpoint, url)
    async with httpx.AsyncClient(trust_env=False, timeout=40) as client:
        served = uvicorn.Server(_config(_starlette(application, sockets, relay, client), port))
        task = asyncio.create_task(served._serve())
        try:
            while not served.started and not task.done():
                await asyncio.sleep(0.02)
            yield url
        finally:
            served.should_exit = True
            for connection in list(sockets.connections.values()):
                connection.close(1001)
            with suppress(SystemExit):
                await task


def terminal_url(port: int) -> str:
    """Where the gateway of this port has its relay."""
    return f"ws://{ADDRESS}:{port}{PATH}"


def _starlette(application: Application, sockets: SocketGateway, relay: Relay, client: httpx.AsyncClient) -> Starlette:
    management = Management(sockets)

    async def on(request: Request) -> Response:
        """Pass a REST call on, and its answer back."""
        target = application.url + request.url.path.removeprefix(f"/{STAGE}")
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP]
        answer = await client.request(
            request.method, target, params=request.url.query, headers=headers, content=await request.body()
        )
        kept = {name: value for name, value in answer.headers.items() if name not in HOP | {"content-encoding"}}
        return Response(answer.content, answer.status_code, kept)

    connections = f"/{STAGE}/@connections/{{connection_id:path}}"
    return Starlette(
        routes=[
            *(WebSocketRoute(path, sockets.handle) for path in stage_paths(STAGE, SOCKET_PATHS)),
            *relay.routes(),
            Route(connections, management.handle, methods=["GET", "POST", "DELETE"]),
            Route("/{path:path}", on, methods=["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"]),
        ]
    )


def _config(starlette: Starlette, port: int) -> uvicorn.Config:
    limits: Any = (MESSAGE_LIMIT, FRAME_LIMIT)  # websockets takes both: of a message and of a frame
    return uvicorn.Config(
        starlette,
        host=ADDRESS,
        port=port,
        ws="websockets-sansio",
        ws_max_size=limits,
        ws_ping_interval=None,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
