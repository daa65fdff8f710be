"""Hosts that fell silent: the time comes in, their containers are told of as lost, but never too many at once (M10).

The host itself is asked for nothing. When it comes back, its agent tells again what runs, and its records follow.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.contract.events import Failed, Stopped
from chalicelib.contract.statuses import Status
from chalicelib.domain.announcements import lost_creating, lost_running
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy
from chalicelib.domain.host import Host
from chalicelib.ports import Clock, ContainerStore, EventQueue, HostStore

log = logging.getLogger("berth.leases")

BRAKE_SHARE = 0.2
BRAKE_LEAST = 2
"""When two or more hosts, and more than this share of all, are silent, the fault is more likely ours (I15)."""

PAGE = 50
"""Containers told of in one run and host."""

_SAID_OF: dict[Status, Callable[[Container, datetime], Failed | Stopped]] = {
    Status.CREATING: lost_creating,
    Status.RUNNING: lost_running,
}


@dataclass(frozen=True, slots=True)
class Leases:
    """End what ran on hosts whose lease has run out."""

    containers: ContainerStore
    hosts: HostStore
    events: EventQueue
    clock: Clock

    def run(self) -> int:
        """Handle every silent host; the number of containers told of."""
        now = self.clock.now()
        hosts = self.hosts.candidates()
        silent = [host for host in hosts if host.silent(now)]
        if len(silent) >= BRAKE_LEAST and len(silent) > BRAKE_SHARE * len(hosts):
            log.error("too many hosts are silent: nothing is ended", extra={"silent": len(silent), "hosts": len(hosts)})
            return 0
        return sum(self._lost(host, now) for host in silent)

    def _lost(self, hint: Host, now: datetime) -> int:
        """The index may lag: look at the host itself before acting."""
        host = self.hosts.get(hint.id)
        if not host.silent(now):
            return 0
        told = [self._tell(container, now) for container in self.containers.on_host(host.id, PAGE)]
        if any(told):
            log.warning("host lost", extra={"host": host.id, "containers": sum(told)})
        return sum(told)

    def _tell(self, container: Container, now: datetime) -> bool:
        say = _SAID_OF.get(container.status)
        if say is None:
            return False
        try:
            self.events.send(say(container, now), attempt=container.version)
        except Busy:
            return False
        return True
