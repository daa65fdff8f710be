"""Commands inside containers: a caller and a command come in, what it printed goes out, or a refusal."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.contract.agent_api import ExecCall, ExecUser, Ran, RefusalCode
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.errors import (
    AgentRefused,
    AgentUnreachable,
    Busy,
    CommandTimedOut,
    HostSilent,
    NotFound,
    RateLimited,
    StatusConflict,
)
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Caller
from chalicelib.ports import HostStore, Runner
from chalicelib.services.lifecycle import Lifecycle

log = logging.getLogger("berth.execution")


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What a user wants run, and how."""

    command: tuple[str, ...]
    user: ExecUser | None
    workdir: str | None
    environment: dict[str, str]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Execution:
    """Run commands, each once, while the caller waits."""

    lifecycle: Lifecycle
    hosts: HostStore
    runner: Callable[[], Runner]
    """Asked for when the first command is run: most requests need none, and it takes time to make."""

    def run(self, caller: Caller, reference: str, request: CommandRequest) -> dict[str, Any]:
        """What it printed and how it ended; NotFound, StatusConflict, RateLimited, HostSilent or CommandTimedOut."""
        container = self.lifecycle.find(caller, reference)
        if container.status is not Status.RUNNING:
            raise _not_running(container)
        ran = self._run(container, self._host(container), _call(container, request))
        log.info("command ran", extra={"container": container.id, "user": caller.user_id, "timed_out": ran.timed_out})
        if ran.timed_out:
            raise CommandTimedOut(request.timeout_seconds, _body(ran))
        return _body(ran)

    def _host(self, container: Container) -> Host:
        if container.host_id is None:
            raise _not_running(container)
        try:
            return self.hosts.get(container.host_id)
        except NotFound as error:
            raise HostSilent from error

    def _run(self, container: Container, host: Host, call: ExecCall) -> Ran:
        ids = {"container": container.id, "host": host.id}
        try:
            return self.runner().run(host, call)
        except AgentRefused as refusal:
            log.warning("host refused the command", extra={**ids, "code": refusal.code})
            if refusal.code == RefusalCode.BUSY:
                raise RateLimited(1, "too many commands at once") from refusal
            if refusal.code == RefusalCode.ENGINE_DOWN:
                raise Busy("the host's engine does not answer") from refusal
            raise _not_running(container) from refusal
        except AgentUnreachable as error:
            log.warning("host gave no answer to a command", extra={**ids, "reason": str(error)})
            raise HostSilent from error


def _call(container: Container, request: CommandRequest) -> ExecCall:
    return ExecCall(
        container_id=container.id,
        user_id=container.user_id,
        generation=container.generation,
        command=list(request.command),
        user=request.user,
        workdir=request.workdir,
        environment=request.environment,
        timeout_seconds=request.timeout_seconds,
    )


def _not_running(container: Container) -> StatusConflict:
    return StatusConflict("commands run in running containers only", container.status)


def _body(ran: Ran) -> dict[str, Any]:
    """`exitCode` is what some clients of the documented API read."""
    return {
        "stdout": ran.stdout,
        "stderr": ran.stderr,
        "output": ran.output,
        "exit_code": ran.exit_code,
        "exitCode": ran.exit_code,
        "duration_ms": ran.duration_ms,
        "truncated": ran.truncated,
    }
