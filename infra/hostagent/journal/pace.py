"""When events go: what waits of each container comes in, whether it goes now or waits for the next goes out.

Whoever takes a message reads and writes the record once for all that is in it, and takes the container's next one
only then. So stages that follow each other within a moment travel together; what ends a wait goes at once.
"""

from collections.abc import Callable, Sequence

from chalicelib.contract.events import AboutContainer, Created, Progress

PACE_SECONDS = 0.1
"""Between two messages about one creation; a person does not see it, and a function has done with the first."""

ON_THE_WAY = (Progress, Created)
"""Events after which more will come."""


class Pace:
    """Remembers when something of each container went."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._went: dict[str, float] = {}

    def wait(self, events: Sequence[AboutContainer]) -> float:
        """Seconds until these events of one container go; 0 = now."""
        went = self._went.get(events[0].container_id)
        if went is None or not all(isinstance(event, ON_THE_WAY) for event in events):
            return 0.0
        return max(0.0, went + PACE_SECONDS - self._monotonic())

    def gone(self, container_id: str) -> None:
        """Something of it goes now; what is known of others is forgotten when it no longer matters."""
        now = self._monotonic()
        self._went = {each: at for each, at in self._went.items() if at + PACE_SECONDS > now}
        self._went[container_id] = now
