"""Commands inside containers: a caller and a command come in, what it printed goes out, or a refusal."""

import logging
from dataclasses import dataclass
from typing import Any

from chalicelib.contract.agent_api import ExecCall, ExecUser, Ran
from chalicelib.domain.container import Container
from chalicelib.domain.errors import CommandTimedOut
from chalicelib.domain.identity import Caller
from chalicelib.services.attended import Attended

log = logging.getLogger("berth.execution")

_UNHEARD = "the command may have run"


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

    attended: Attended

    def run(self, caller: Caller, reference: str, request: CommandRequest) -> dict[str, Any]:
        """What it printed and how it ended; NotFound, StatusConflict, RateLimited, HostSilent or CommandTimedOut."""
        container = self.attended.running(caller, reference)
        call = _call(container, request)
        ran = self.attended.ask(container, lambda runner, host: runner.run(host, call), _UNHEARD)
        log.info("command ran", extra={"container": container.id, "user": caller.user_id, "timed_out": ran.timed_out})
        if ran.timed_out:
            raise CommandTimedOut(request.timeout_seconds, _body(ran))
        return _body(ran)


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
