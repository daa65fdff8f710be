"""Messages given up: the queues of them come in, how many wait goes out as measurements."""

import logging
from dataclasses import dataclass

from chalicelib.domain.errors import Busy
from chalicelib.ports import DeadLetters, Metrics

log = logging.getLogger("berth.dead_letters")

QUEUES = ("commands", "enrolments", "events")


@dataclass(frozen=True, slots=True)
class DeadLetterWatch:
    """Looks how many messages were given up; each waits for an operator (docs/operations.md)."""

    dead_letters: DeadLetters
    metrics: Metrics

    def run(self) -> None:
        """Measure each; what cannot be read is left out this time."""
        for queue in QUEUES:
            try:
                waiting = self.dead_letters.waiting(queue)
            except Busy:
                log.warning("dead letters not counted", extra={"queue": queue})
                continue
            self.metrics.measure("DeadLetters", waiting, "Count", queue=queue)
            if waiting:
                log.error("dead letters wait", extra={"queue": queue, "waiting": waiting})
