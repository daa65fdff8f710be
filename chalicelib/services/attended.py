"""Calls to a running container's host that somebody waits for: a caller comes in, the host's answer goes out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from chalicelib.contract.agent_api import RefusalCode
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container
from chalicelib.domain.errors import (
    AgentRefused,
    AgentUnreachable,
    Busy,
    HostSilent,
    NotFound,
    RateLimited,
    StatusConflict,
)
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Caller
from chalicelib.ports import HostStore, Runner
from chalicelib.services.lifecycle import Lifecycle

log = logging.getLogger("berth.attended")

Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Attended:
    """Makes such calls, each once (ADR 0022)."""

    lifecycle: Lifecycle
    hosts: HostStore
    runner: Callable[[], Runner]
    """Asked for when the first call is made: most requests need none, and it takes time to make."""

    def running(self, caller: Caller, reference: str) -> Container:
        """The caller's container; NotFound, or StatusConflict when it does not run."""
        container = self.lifecycle.find(caller, reference)
        if container.status is not Status.RUNNING:
            raise _not_running(container)
        return container

    def ask(self, container: Container, call: Callable[[Runner, Host], Given], unheard: str) -> Given:
        """What its host answers; StatusConflict, RateLimited, Busy, or HostSilent, which says what is `unheard` of."""
        host = self.host_of(container, unheard)
        ids = {"container": container.id, "host": host.id}
        try:
            return call(self.runner(), host)
        except AgentRefused as refusal:
            log.warning("host refused the call", extra={**ids, "code": refusal.code})
            if refusal.code == RefusalCode.BUSY:
                raise RateLimited(1, "too many commands at once") from refusal
            if refusal.code == RefusalCode.ENGINE_DOWN:
                raise Busy("the host's engine does not answer") from refusal
            raise _not_running(container) from refusal
        except AgentUnreachable as error:
            log.warning("host gave no answer", extra={**ids, "reason": str(error)})
            raise HostSilent(unheard) from error

    def host_of(self, container: Container, unheard: str) -> Host:
        """The host that it runs on; StatusConflict, or HostSilent."""
        if container.host_id is None:
            raise _not_running(container)
        try:
            return self.hosts.get(container.host_id)
        except NotFound as error:
            raise HostSilent(unheard) from error


def _not_running(container: Container) -> StatusConflict:
    return StatusConflict("the container does not run: start it, or wait until it is running", container.status)
