"""Hosts that fell silent: the time comes in, their containers are told of as lost, but never too many at once (M10).

The host itself is asked for nothing. When it comes back, its agent tells again what runs, and its records follow.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.contract.events import Failed, Removed, Stopped
from chalicelib.contract.statuses import Status
from chalicelib.domain.announcements import lost_creating, lost_deleting, lost_running
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy
from chalicelib.domain.host import Host
from chalicelib.ports import Clock, ContainerStore, EventQueue, HostStore, Metrics
from chalicelib.services.abreast import abreast
from chalicelib.services.unmeasured import UNMEASURED

log = logging.getLogger("berth.leases")

BRAKE_SHARE = 0.2
BRAKE_LEAST = 2
"""When two or more hosts, and more than this share of all, are silent, the fault is more likely ours (I15)."""

PAGE = 50
"""Containers told of in one round and host."""

ROUND = timedelta(seconds=10)
"""Between the beginnings of two rounds."""

_SAID_OF: dict[Status, Callable[[Container, datetime], Failed | Stopped | Removed]] = {
    Status.CREATING: lost_creating,
    Status.RUNNING: lost_running,
    Status.DELETING: lost_deleting,
}


@dataclass(frozen=True, slots=True)
class Leases:
    """End what ran on hosts whose lease has run out."""

    containers: ContainerStore
    hosts: HostStore
    events: EventQueue
    clock: Clock

    width: int = 1
    """Hosts handled side by side: a rack's containers are tens of thousands."""
    metrics: Metrics = UNMEASURED

    def run(self, seconds: float = 0.0) -> int:
        """Rounds for so long, at least one, since the finest schedule alone is too coarse for the promise of 120 s.

        Gives the number of containers told of.
        """
        ends = self.clock.now() + timedelta(seconds=seconds)
        quiet: set[str] = set()
        told = 0
        while True:
            following = self.clock.now() + ROUND
            told += self._round(quiet)
            if following > ends:
                return told
            self.clock.sleep(max(0.0, (following - self.clock.now()).total_seconds()))

    def _round(self, quiet: set[str]) -> int:
        """Handle every silent host; those with nothing left to tell of become `quiet`, and are left for this run."""
        now = self.clock.now()
        hosts = self.hosts.candidates()
        silent = [host for host in hosts if host.silent(now)]
        if len(silent) >= BRAKE_LEAST and len(silent) > BRAKE_SHARE * len(hosts):
            self.metrics.count("LeaseBrake")
            log.error("too many hosts are silent: nothing is ended", extra={"silent": len(silent), "hosts": len(hosts)})
            return 0
        waiting = [host for host in silent if host.id not in quiet]
        told = abreast(self.width, lambda host: self._lost(host, now), waiting)
        quiet.update(host.id for host, count in zip(waiting, told, strict=True) if not count)
        return sum(told)

    def _lost(self, hint: Host, now: datetime) -> int:
        """The index may lag: look at the host itself before acting."""
        host = self.hosts.get(hint.id)
        if not host.silent(now):
            return 0
        told = [self._tell(container, now) for container in self.containers.on_host(host.id, PAGE)]
        if any(told):
            log.warning("host lost", extra={"host": host.id, "containers": sum(told)})
            self.metrics.count("HostsLost")
            self.metrics.count("LeaseEvictions", sum(told))
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
