"""The second line: the time comes in, commands nobody carried out are sent again and overdue records ended (M1)."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.contract.commands import Create, Delete
from chalicelib.contract.statuses import Status
from chalicelib.domain.announcements import overdue
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy, NotFound, StaleWrite
from chalicelib.ports import Clock, CommandQueue, ContainerStore, EventQueue

log = logging.getLogger("berth.sweep")

PAGE = 100
"""Records looked at in one run."""

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look at every record that is due; each effect is conditional, so two sweepers do no more than one."""

    containers: ContainerStore
    commands: CommandQueue
    events: EventQueue
    clock: Clock

    def run(self) -> int:
        """Handle what is due now; the number of records acted on."""
        return sum(self._look(hint) for hint in self.containers.due(self.clock.now(), PAGE))

    def _look(self, hint: Container) -> bool:
        """The index may lag: read the record itself before acting."""
        now = self.clock.now()
        try:
            container = self.containers.get(hint.user_id, hint.id)
            if container.due_at is None or container.due_at > now:
                return False
            self._act(container, now)
        except (NotFound, StaleWrite, Busy):
            return False
        return True

    def _act(self, container: Container, now: datetime) -> None:
        log.info("record is due", extra={"container": container.id, "status": container.status})
        if container.status is Status.CREATING:
            self._creating(container, now)
        elif container.status is Status.DELETING:
            self._again(container, Delete(container_id=container.id, user_id=container.user_id), now)
        elif container.status is Status.ERROR or _expired(container, now):
            self._remove(container, now)

    def _creating(self, container: Container, now: datetime) -> None:
        if now >= container.deadline:
            self._fail(container, now)
        else:
            create = Create(container_id=container.id, user_id=container.user_id, generation=container.generation)
            self._again(container, create, now)

    def _again(self, container: Container, command: Create | Delete, now: datetime) -> None:
        """Send the command once more; the attempt makes it a new message to the queue (reliability 0.6)."""
        postponed = self.containers.postpone(container, now + _pause(container), container.attempt + 1)
        self.commands.send(command, postponed.attempt)

    def _fail(self, container: Container, now: datetime) -> None:
        postponed = self.containers.postpone(container, now + FIRST_PAUSE, container.attempt + 1)
        self.events.send(overdue(container, now), postponed.attempt)

    def _remove(self, container: Container, now: datetime) -> None:
        """A record in `error` for too long, or one whose session is over: delete it as its user would."""
        self.containers.begin_delete(container, now)
        self.commands.send(Delete(container_id=container.id, user_id=container.user_id))


def _expired(container: Container, now: datetime) -> bool:
    return container.expires_at is not None and container.expires_at <= now


def _pause(container: Container) -> timedelta:
    pause: timedelta = FIRST_PAUSE * 2 ** min(container.attempt, 4)
    return min(pause, LONGEST_PAUSE)
