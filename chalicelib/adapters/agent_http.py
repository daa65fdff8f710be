"""Calls to host agents: a spec or a removal comes in, a signed call goes out, its refusal comes back as ours."""

import json
from typing import TYPE_CHECKING, TypeVar

import httpx
from pydantic import ValidationError

from chalicelib.contract.agent_api import (
    ContainerSpec,
    ExecCall,
    FileCall,
    Filed,
    Holdings,
    InsideCall,
    PowerCall,
    Ran,
    Refusal,
    Removal,
    ResizeCall,
    UsageCall,
    Used,
)
from chalicelib.contract.model import Message, Traced
from chalicelib.contract.signatures import sign_call
from chalicelib.contract.tracing import traced
from chalicelib.domain.errors import AgentRefused, AgentUnreachable

if TYPE_CHECKING:
    from chalicelib.domain.host import Host
    from chalicelib.ports import Clock, Ids

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
"""Seconds; agents answer before they work (commands apart), so more means that something is wrong."""

ANSWER_SECONDS = 2.5
"""What an agent needs beside a command's own time, to kill it and to answer."""

_REFUSALS = (409, 503)

Answer = TypeVar("Answer", bound=Message)


class HttpAgents:
    """`ports.Agents` and `ports.Runner` over HTTP."""

    def __init__(self, client: httpx.Client, private_key: str, clock: "Clock", ids: "Ids") -> None:
        self._client = client
        self._private_key = private_key
        self._clock = clock
        self._ids = ids

    def create(self, host: "Host", spec: ContainerSpec) -> None:
        self._call(host, "PUT", f"/v1/containers/{spec.container_id}", spec)

    def delete(self, host: "Host", removal: Removal) -> None:
        self._call(host, "DELETE", f"/v1/containers/{removal.container_id}", removal)

    def power(self, host: "Host", call: PowerCall) -> None:
        self._call(host, "POST", f"/v1/containers/{call.container_id}/power", call)

    def resize(self, host: "Host", call: ResizeCall) -> None:
        self._call(host, "POST", f"/v1/containers/{call.container_id}/resize", call)

    def holdings(self, host: "Host") -> Holdings:
        return _read(self._call(host, "GET", "/v1/containers"), Holdings)

    def run(self, host: "Host", call: ExecCall) -> Ran:
        return _read(self._wait(host, f"/v1/containers/{call.container_id}/exec", call), Ran)

    def file(self, host: "Host", call: FileCall) -> Filed:
        return _read(self._wait(host, f"/v1/containers/{call.container_id}/files", call), Filed)

    def usage(self, host: "Host", call: UsageCall) -> Used:
        return _read(self._call(host, "POST", f"/v1/containers/{call.container_id}/stats", call), Used)

    def _wait(self, host: "Host", path: str, call: InsideCall) -> httpx.Response:
        timeout = httpx.Timeout(call.timeout_seconds + ANSWER_SECONDS, connect=TIMEOUT.connect)
        return self._call(host, "POST", path, call, timeout)

    def _call(
        self, host: "Host", method: str, path: str, message: Traced | None = None, timeout: httpx.Timeout = TIMEOUT
    ) -> httpx.Response:
        if host.report is None:
            raise AgentUnreachable("the host has not reported yet")
        body = traced(message).model_dump_json(exclude_none=True).encode() if message is not None else b""
        headers = {"Authorization": f"Bearer {self._signed(host.id, method, path, body)}"}
        url = host.report.endpoint.rstrip("/") + path
        try:
            answer = self._client.request(
                method, url, content=body, headers=headers | {"Content-Type": "application/json"}, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise AgentUnreachable(type(error).__name__) from error
        _check(answer)
        return answer

    def _signed(self, host_id: str, method: str, path: str, body: bytes) -> str:
        return sign_call(
            private_pem=self._private_key,
            host_id=host_id,
            method=method,
            path=path,
            body=body,
            call_id=self._ids.uuid(),
            issued_at=int(self._clock.now().timestamp()),
        )


def _read(answer: httpx.Response, model: type[Answer]) -> Answer:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise AgentUnreachable("the agent's answer cannot be read") from error


def _check(answer: httpx.Response) -> None:
    """Nothing for 2xx; a Refusal is definite, everything else leaves the outcome open."""
    if answer.is_success:
        return
    if answer.status_code in _REFUSALS:
        try:
            raise AgentRefused(Refusal.model_validate(json.loads(answer.content)).code)
        except (ValueError, ValidationError):
            pass
    raise AgentUnreachable(f"agent answered {answer.status_code}")
