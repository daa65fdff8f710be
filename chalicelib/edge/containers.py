"""Views of `/containers`: a call comes in, the contract's answer goes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.statuses import LIVE
from chalicelib.domain.errors import InvalidRequest, Refused
from chalicelib.domain.identity import Caller, Scope
from chalicelib.domain.request import ContainerRequest
from chalicelib.edge.answers import Answer
from chalicelib.edge.dialects import listing
from chalicelib.edge.http import Call
from chalicelib.edge.payloads import changes_request, command_request, container_request, idempotency_key
from chalicelib.ports import IdempotencyKey
from chalicelib.services.execution import Execution
from chalicelib.services.lifecycle import Lifecycle
from chalicelib.services.rates import Rates
from chalicelib.services.reconfiguration import Reconfiguration
from chalicelib.services.tokens import Tokens

if TYPE_CHECKING:
    from chalicelib.services.files import Files
    from chalicelib.services.terminals import Terminals
    from chalicelib.services.usage import Usage

PAGE_LIMIT = 100
LONGEST_WAIT = 25


@dataclass(frozen=True, slots=True)
class Api:
    """The services that REST views use."""

    lifecycle: Lifecycle
    reconfiguration: Reconfiguration
    execution: Execution
    files: Callable[[], Files]
    """Asked for when the first file is: few requests are about one."""
    terminals: Callable[[], Terminals]
    """The same."""
    usage: Callable[[], Usage]
    """The same."""
    tokens: Tokens
    rates: Rates


def create(call: Call, api: Api) -> Answer:
    """`POST /containers`: 202 with the container as accepted."""
    caller = call.caller(api.tokens, Scope.WRITE, counted=False)
    request, key = _wish(call, api, caller)
    answered = api.lifecycle.create(caller, request, key)
    headers = {"Location": f"/api/containers/{answered.body['id']}"}
    if answered.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(202, answered.body, headers)


def _wish(call: Call, api: Api, caller: Caller) -> tuple[ContainerRequest, IdempotencyKey | None]:
    """What is asked for; a request that is refused for its form counts, and is told 429 first when too many are."""
    try:
        document = call.document()
        key = idempotency_key(call.headers.get("idempotency-key"))
        return container_request(document), _key(key, document)
    except Refused:
        api.lifecycle.refuse(caller)
        raise


def _key(key: str | None, document: dict[str, Any]) -> IdempotencyKey | None:
    if key is None:
        return None
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return IdempotencyKey(key, hashlib.sha256(canonical.encode()).hexdigest())


def list_all(call: Call, api: Api) -> Answer:
    """`GET /containers`."""
    caller = call.caller(api.tokens, Scope.READ)
    status = _one_of("status", call.query.get("status"), [each.value for each in LIVE])
    limit = _number("limit", call.query.get("limit"), least=1, most=PAGE_LIMIT)
    return listing(call, api.lifecycle.list(caller, status, limit, call.query.get("cursor")), "containers")


def get(call: Call, api: Api) -> Answer:
    """`GET /containers/{id}`, with `?wait=` a long poll."""
    caller = call.caller(api.tokens, Scope.READ)
    reference = call.path["container_id"]
    wanted = _one_of("wait", call.query.get("wait"), [each.value for each in LIVE])
    seconds = _number("timeout", call.query.get("timeout"), least=0, most=LONGEST_WAIT)
    if wanted is None:
        return Answer(200, api.lifecycle.get(caller, reference))
    return Answer(200, api.lifecycle.wait(caller, reference, wanted, LONGEST_WAIT if seconds is None else seconds))


def delete(call: Call, api: Api) -> Answer:
    """`DELETE /containers/{id}`."""
    caller = call.caller(api.tokens, Scope.WRITE)
    return Answer(200, api.lifecycle.delete(caller, call.path["container_id"]))


def events(call: Call, api: Api) -> Answer:
    """`GET /containers/{id}/events?after=`."""
    caller = call.caller(api.tokens, Scope.READ)
    after = _number("after", call.query.get("after"), least=0, most=99_999_999)
    return Answer(200, api.lifecycle.events(caller, call.path["container_id"], after or 0))


def start(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/start`."""
    return _power(call, api, Verb.START)


def stop(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/stop`."""
    return _power(call, api, Verb.STOP)


def restart(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/restart`."""
    return _power(call, api, Verb.RESTART)


def change(call: Call, api: Api) -> Answer:
    """`PATCH /containers/{id}/settings`."""
    caller = call.caller(api.tokens, Scope.WRITE)
    changes = changes_request(call.document())
    return Answer(200, api.reconfiguration.change(caller, call.path["container_id"], changes))


def execute(call: Call, api: Api) -> Answer:
    """`POST /containers/{id}/exec`."""
    caller = call.caller(api.tokens, Scope.EXEC)
    request = command_request(call.document())
    return Answer(200, api.execution.run(caller, call.path["container_id"], request))


def stats(call: Call, api: Api) -> Answer:
    """`GET /containers/{id}/stats`."""
    caller = call.caller(api.tokens, Scope.READ)
    return Answer(200, api.usage().measure(caller, call.path["container_id"]))


def _power(call: Call, api: Api, verb: Verb) -> Answer:
    caller = call.caller(api.tokens, Scope.WRITE)
    return Answer(200, api.lifecycle.power(caller, call.path["container_id"], verb))


def _one_of(name: str, value: str | None, known: list[str]) -> str | None:
    if value is not None and value not in known:
        raise InvalidRequest(f"{name} must be one of {', '.join(sorted(known))}", name)
    return value


def _number(name: str, value: str | None, least: int, most: int) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 9 and least <= int(value) <= most):
        raise InvalidRequest(f"{name} must be a whole number from {least} to {most}", name)
    return int(value)
