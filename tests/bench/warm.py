"""Containers started ahead, for a benchmark: an engine comes in, they are waited for, and it is seen who got one."""

import time
from contextlib import closing

from infra.ground.engine import Engine
from tests.bench.lives import Broken, Life

OPTIONS = ("--warm-memory", "128", "--look-seconds", "1")
READY = 4
"""What an agent keeps of one kind with this much memory."""

PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
_STILL = 3
"""So often in a row they are seen to be complete: the last has its way in by then."""


class Blanks:
    """What waits on an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: set[str] = set()

    def wait(self) -> None:
        """Until all are there and nothing is being made."""
        ends, still = time.monotonic() + PATIENCE_SECONDS, 0
        while still < _STILL:
            if time.monotonic() > ends:
                raise Broken("the agent makes no containers ahead")
            self._waiting = self._named("berth-warm-")
            still = still + 1 if len(self._waiting) == READY else 0
            time.sleep(_PAUSE_SECONDS)

    def check(self, life: Life) -> None:
        """Broken unless it was one of those that waited."""
        if not self._named(f"berth-{life.id}-") & self._waiting:
            raise Broken(f"{life.id} was made when it was asked for")

    def _named(self, prefix: str) -> set[str]:
        with closing(self._engine.client()) as client:
            found = client.api.containers(filters={"name": f"^/{prefix}", "status": "running"})
        return {str(each["Id"]) for each in found}
