"""The agent's HTTP interface: signed calls come in, the keeper journals them, answers go out within a second."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chalicelib.contract.agent_api import (
    Accepted,
    ContainerSpec,
    ExecCall,
    FileCall,
    PowerCall,
    Refusal,
    RefusalCode,
    Removal,
    ResizeCall,
)
from chalicelib.contract.signatures import CALL_SECONDS, BadSignature, verify_call
from chalicelib.contract.tracing import bound
from infra.hostagent.execs import AT_ONCE, Execs
from infra.hostagent.inside import Files
from infra.hostagent.intents import Intent
from infra.hostagent.journal import Journal
from infra.hostagent.keeper import CallRefused, Keeper
from infra.hostagent.ports import EngineError

log = logging.getLogger("berth.agent.http")

BODY_LIMIT = 256 * 1024
FILE_LIMIT = 6 * 1024 * 1024
"""Of a call with a file in it, which comes as base64."""

SPARE = 4
"""Threads that tell those who come when all places for commands are taken."""

_STATUS_OF = {
    RefusalCode.TOMBSTONE: 409,
    RefusalCode.STALE_GENERATION: 409,
    RefusalCode.UNKNOWN: 409,
    RefusalCode.DRAINING: 503,
    RefusalCode.FULL: 503,
    RefusalCode.ENGINE_DOWN: 503,
    RefusalCode.DISK_UNLIMITED: 503,
    RefusalCode.BUSY: 503,
}

Endpoint = Callable[[Request, bytes], Response]


@dataclass(slots=True)
class Guard:
    """Lets in calls that the control plane signed for this host, each once."""

    host_id: str
    control_key: str
    _seen: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, body: bytes) -> None:
        """BadSignature for everything else."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise BadSignature("no bearer token")
        call_id = verify_call(
            token=token,
            public_pem=self.control_key,
            host_id=self.host_id,
            method=request.method,
            path=request.url.path,
            body=body,
        )
        self._once(call_id)

    def _once(self, call_id: str) -> None:
        now = time.monotonic()
        with self._lock:
            for seen in [each for each, at in self._seen.items() if now - at > 2 * CALL_SECONDS]:
                del self._seen[seen]
            if call_id in self._seen:
                raise BadSignature("the call was made before")
            self._seen[call_id] = now


def application(keeper: Keeper, journal: Journal, guard: Guard, execs: Execs) -> Starlette:
    """The ASGI application. Commands have threads of their own: however long they take, other calls do not wait."""
    waiting = ThreadPoolExecutor(AT_ONCE + SPARE, thread_name_prefix="exec")

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
        intent = journal.get(request.path_params["container_id"])
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
                "/v1/containers/{container_id}/files",
                guarded(_does(Files(execs)), waiting, FILE_LIMIT),
                methods=["POST"],
            ),
            Route("/v1/containers/{container_id}", guarded(one), methods=["GET"]),
            Route("/v1/containers", guarded(all_of_them), methods=["GET"]),
            Route("/v1/health", health, methods=["GET"]),
        ]
    )


def _runs(execs: Execs) -> Endpoint:
    def run(request: Request, body: bytes) -> Response:
        call = ExecCall.model_validate_json(body)
        _same_id(request, call.container_id)
        with bound(container=call.container_id, trace=call.trace):
            return JSONResponse(execs.run(call).model_dump(mode="json"))

    return run


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
            return JSONResponse({"error": "unauthorized"}, 401)
        except (ValidationError, _WrongCall):
            return JSONResponse({"error": "the call cannot be read"}, 400)
        except CallRefused as error:
            return _refused(str(error), error.code)
        except EngineError:
            return _refused("the host's engine does not answer", RefusalCode.ENGINE_DOWN)


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


def _refused(text: str, code: RefusalCode) -> Response:
    return JSONResponse(Refusal(error=text, code=code).model_dump(mode="json"), _STATUS_OF[code])


def _shown(intent: Intent) -> dict[str, object]:
    return {
        "container_id": intent.container_id,
        "generation": intent.generation,
        "step": intent.step.value,
        "number": intent.number,
    }
