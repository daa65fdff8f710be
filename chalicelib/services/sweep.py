"""The second line: the time comes in, commands nobody carried out are sent again and overdue records ended (M1)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.contract.commands import Command, Create, Delete, Power, Rename, Resize
from chalicelib.contract.statuses import Status
from chalicelib.domain.announcements import abandoned, overdue, swept_because
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy, NotFound, StaleWrite
from chalicelib.ports import Clock, CommandQueue, ContainerStore, EventQueue, Metrics
from chalicelib.services.abreast import abreast
from chalicelib.services.unmeasured import UNMEASURED

log = logging.getLogger("berth.sweep")

PAGE = 100
"""Records asked for at a time."""

RUN_SECONDS = 10.0
"""How long a run goes on while there is more: a queue that was down leaves thousands, and each has a deadline (I1)."""

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=2)

MOST_ATTEMPTS = 6
"""How often a host is asked again for what it does not confirm: for about eight minutes."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look at every record that is due; each effect is conditional, so two sweepers do no more than one."""

    containers: ContainerStore
    commands: CommandQueue
    events: EventQueue
    clock: Clock
    metrics: Metrics = UNMEASURED
    width: int = 1
    """Records handled side by side."""

    def run(self) -> int:
        """Handle what is due now, each once, for `RUN_SECONDS` at most; the number of records acted on."""
        ends = self.clock.now() + timedelta(seconds=RUN_SECONDS)
        seen: set[str] = set()
        acted = 0
        while True:
            due = self.containers.due(self.clock.now(), PAGE)
            new = [hint for hint in due if hint.id not in seen]
            seen.update(hint.id for hint in new)
            acted += sum(abreast(self.width, self._look, new))
            if not new or len(due) < PAGE or self.clock.now() >= ends:
                return acted

    def _look(self, hint: Container) -> bool:
        """The index may lag: read the record itself before acting."""
        now = self.clock.now()
        try:
            container = self.containers.get(hint.user_id, hint.id)
            if container.due_at is None or container.due_at > now:
                return False
            self._act(container, now)
            self.metrics.count("SweepRepairs", status=container.status)
        except (NotFound, StaleWrite, Busy):
            return False
        except Exception:
            log.exception("record could not be swept; the others are", extra={"container": hint.id})
            return False
        return True

    def _act(self, container: Container, now: datetime) -> None:
        log.info("record is due", extra={"container": container.id, "status": container.status})
        if container.status is Status.CREATING:
            self._creating(container, now)
        elif container.status is Status.DELETING:
            self._again(container, [Delete(container_id=container.id, user_id=container.user_id)], now)
        elif container.status is Status.ERROR or _expired(container, now):
            self._remove(container, now)
        elif container.attempt >= MOST_ATTEMPTS:
            self._give_up(container, now)
        else:
            self._again(container, _asked(container), now)

    def _creating(self, container: Container, now: datetime) -> None:
        if now >= container.deadline:
            self._fail(container, now)
        else:
            create = Create(container_id=container.id, user_id=container.user_id, generation=container.generation)
            self._again(container, [create, *_asked(container)], now)

    def _again(self, container: Container, commands: Sequence[Command], now: datetime) -> None:
        """Send the commands once more; the attempt makes them new messages to the queue (reliability 0.6)."""
        postponed = self._postponed(container, _pause(container), now)
        for command in commands:
            self.commands.send(command, postponed.attempt)

    def _fail(self, container: Container, now: datetime) -> None:
        postponed = self._postponed(container, FIRST_PAUSE, now)
        self.events.send(overdue(container, now), postponed.attempt)

    def _give_up(self, container: Container, now: datetime) -> None:
        """Say so; until that is recorded it is said again. A name is the record's alone, and told until it is."""
        postponed = self._postponed(container, LONGEST_PAUSE, now)
        log.warning("host confirms nothing", extra={"container": container.id, "host": container.host_id})
        for command in _asked(container):
            if isinstance(command, Rename):
                self.commands.send(command, postponed.attempt)
            else:
                self.events.send(abandoned(container, command.action, now), postponed.attempt)

    def _postponed(self, container: Container, pause: timedelta, now: datetime) -> Container:
        """Looked at again after the pause. A deletion is not held to the expiry, which may have passed."""
        due_at = now + pause if container.status is Status.DELETING else container.look_at(now + pause)
        return self.containers.postpone(container, due_at, container.attempt + 1)

    def _remove(self, container: Container, now: datetime) -> None:
        """A record in `error` for too long, or one whose session is over: delete it as its user would."""
        self.containers.begin_delete(container, now, swept_because(container))
        self.commands.send(Delete(container_id=container.id, user_id=container.user_id))


def _asked(container: Container) -> list[Power | Resize | Rename]:
    """What has not been confirmed or told, to be asked again."""
    ids = {"container_id": container.id, "user_id": container.user_id}
    power, resize, rename = container.pending_power, container.pending_resize, container.pending_rename
    asked: list[Power | Resize | Rename] = []
    if power is not None:
        asked.append(Power(**ids, verb=power.verb, action=power.action))
    if resize is not None:
        asked.append(Resize(**ids, action=resize.action))
    if rename is not None:
        asked.append(Rename(**ids, action=rename))
    return asked


def _expired(container: Container, now: datetime) -> bool:
    return container.expires_at is not None and container.expires_at <= now


def _pause(container: Container) -> timedelta:
    pause: timedelta = FIRST_PAUSE * 2 ** min(container.attempt, 4)
    return min(pause, LONGEST_PAUSE)
