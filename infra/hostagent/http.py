"""The agent's HTTP interface: signed calls come in, the keeper journals them, answers go out within a second."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from chalicelib.contract.agent_api import (
    Accepted,
    ContainerSpec,
    ExecCall,
    FileCall,
    PowerCall,
    Removal,
    ResizeCall,
    UsageCall,
)
from chalicelib.contract.signatures import BadSignature
from chalicelib.contract.tracing import bound
from infra.hostagent.commands.execs import AT_ONCE, Execs
from infra.hostagent.commands.inside import Files
from infra.hostagent.containers.keeper import CallRefused, Keeper
from infra.hostagent.guard import Guard
from infra.hostagent.journal.intents import Intent
from infra.hostagent.ports import EngineDown, EngineError
from infra.hostagent.refusals import engine_down, refused, unauthorized
from infra.hostagent.terminals.route import terminal_route
from infra.hostagent.terminals.terminals import Terminals
from infra.hostagent.usage.measuring import Measuring

log = logging.getLogger("berth.agent.http")

BODY_LIMIT = 256 * 1024
FILE_LIMIT = 6 * 1024 * 1024
"""Of a call with a file in it, which comes as base64."""

MEASURED_AT_ONCE = 16
"""Containers; each takes a quarter of a second, in which little is done."""

SPARE = 4
"""Threads that tell those who come when all places for commands are taken."""

SOCKETS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": 1024 * 1024,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 60.0,
    "ws_per_message_deflate": False,
    "log_level": "info",
}
"""How uvicorn serves the sockets of terminals: to a relay close by, that compresses for its clients.

The answer to a ping comes after all that a slow client has not read yet. With more logging than this it would write
down tickets, and what is typed and printed.
"""

Endpoint = Callable[[Request, bytes], Response]


def application(keeper: Keeper, guard: Guard, execs: Execs, terminals: Terminals, measuring: Measuring) -> Starlette:
    """The ASGI application. Commands have threads of their own: however long they take, other calls do not wait."""
    waiting = ThreadPoolExecutor(AT_ONCE + SPARE, thread_name_prefix="exec")
    measured = ThreadPoolExecutor(MEASURED_AT_ONCE, thread_name_prefix="usage")

    def create(request: Request, body: bytes) -> Response:
        spec = ContainerSpec.model_validate_json(body)
        _same_id(request, spec.container_id)
        with bound(container=spec.container_id, trace=spec.trace):
            keeper.accept(spec)
        return _accepted(spec.container_id, spec.generation)

    def remove(request: Request, body: bytes) -> Response:
        removal = Removal.model_validate_json(body)
        _same_id(request, removal.container_id)
        with bound(container=removal.container_id, trace=removal.trace):
            keeper.remove(removal)
        return _accepted(removal.container_id, removal.generation)

    def power(request: Request, body: bytes) -> Response:
        call = PowerCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            keeper.power(call)
        return _accepted(call.container_id, call.generation)

    def resize(request: Request, body: bytes) -> Response:
        call = ResizeCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            keeper.resize(call)
        return _accepted(call.container_id, call.generation)

    def one(request: Request, _body: bytes) -> Response:
        intent = execs.journal.get(request.path_params["container_id"])
        return JSONResponse(_shown(intent)) if intent else JSONResponse({"error": "not found"}, 404)

    def all_of_them(_request: Request, _body: bytes) -> Response:
        return JSONResponse(keeper.inventories.holdings().model_dump(mode="json"))

    def health(_request: Request) -> Response:
        return JSONResponse({"ok": True, "engine_up": keeper.relist.engine_up})

    guarded = _Guarded(guard)
    return Starlette(
        routes=[
            Route("/v1/containers/{container_id}", guarded(create), methods=["PUT"]),
            Route("/v1/containers/{container_id}", guarded(remove), methods=["DELETE"]),
            Route("/v1/containers/{container_id}/power", guarded(power), methods=["POST"]),
            Route("/v1/containers/{container_id}/resize", guarded(resize), methods=["POST"]),
            Route("/v1/containers/{container_id}/exec", guarded(_runs(execs), waiting), methods=["POST"]),
            Route(
                "/v1/containers/{container_id}/stats", guarded(_measures(execs, measuring), measured), methods=["POST"]
            ),
            Route(
                "/v1/containers/{container_id}/files",
                guarded(_does(Files(execs)), waiting, FILE_LIMIT),
                methods=["POST"],
            ),
            Route("/v1/containers/{container_id}", guarded(one), methods=["GET"]),
            Route("/v1/containers", guarded(all_of_them), methods=["GET"]),
            Route("/v1/health", health, methods=["GET"]),
            terminal_route(guard, terminals, measuring),
        ],
        lifespan=until_end(terminals),
    )


def until_end(terminals: Terminals) -> Lifespan[Starlette]:
    """Terminals end with the server."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await terminals.close()

    return lifespan


def _runs(execs: Execs) -> Endpoint:
    def run(request: Request, body: bytes) -> Response:
        call = ExecCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            return JSONResponse(execs.run(call).model_dump(mode="json"))

    return run


def _measures(execs: Execs, measuring: Measuring) -> Endpoint:
    def measure(request: Request, body: bytes) -> Response:
        call = UsageCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            execs.running(call.container_id, call.generation)
            used = measuring.now(call.container_id, call.generation)
            if used is None:
                raise EngineDown("what runs cannot be measured")
            return Response(used.model_dump_json(), media_type="application/json")

    return measure


def _does(files: Files) -> Endpoint:
    def do(request: Request, body: bytes) -> Response:
        call = FileCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            return Response(files.do(call).model_dump_json(), media_type="application/json")

    return do


class _WrongCall(Exception):
    """Path and body do not agree."""


@dataclass(frozen=True, slots=True)
class _Guarded:
    """Wraps an endpoint: size, signature and the errors' answers."""

    guard: Guard

    def __call__(
        self, endpoint: Endpoint, pool: Executor | None = None, limit: int = BODY_LIMIT
    ) -> Callable[[Request], Awaitable[Response]]:
        """By threads of this pool, or those that all share; a body may have so many bytes."""

        async def checked(request: Request) -> Response:
            body = await _body(request, limit)
            if body is None:
                return JSONResponse({"error": "body too large"}, 413)
            if pool is None:
                return await run_in_threadpool(self._answer, endpoint, request, body)
            return await asyncio.get_running_loop().run_in_executor(pool, self._answer, endpoint, request, body)

        return checked

    def _answer(self, endpoint: Endpoint, request: Request, body: bytes) -> Response:
        try:
            self.guard.check(request, body)
            return endpoint(request, body)
        except BadSignature as error:
            ids = {"container": request.path_params.get("container_id", ""), "path": request.url.path}
            log.warning("call refused", extra=ids | {"reason": str(error)})
            return unauthorized()
        except (ValidationError, _WrongCall):
            return JSONResponse({"error": "the call cannot be read"}, 400)
        except CallRefused as error:
            return refused(str(error), error.code)
        except EngineError:
            return engine_down()


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None when it is too large."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > limit:
            return None
    return bytes(chunks)


def _same_id(request: Request, container_id: str) -> None:
    if request.path_params["container_id"] != container_id:
        raise _WrongCall


def _accepted(container_id: str, generation: int) -> Response:
    accepted = Accepted(container_id=container_id, generation=generation)
    return JSONResponse(accepted.model_dump(mode="json"), 202)


def _shown(intent: Intent) -> dict[str, object]:
    return {
        "container_id": intent.container_id,
        "generation": intent.generation,
        "step": intent.step.value,
        "number": intent.number,
    }
