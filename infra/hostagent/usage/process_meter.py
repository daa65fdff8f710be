"""`ports.Meter` by a container's first process: its number comes in from the engine, counters of the kernel go out."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infra.hostagent.ports import Counters, EngineRefused, NotThere
from infra.hostagent.usage.counting import counted
from infra.hostagent.usage.groups import Groups, groups_of

PROC = Path("/proc")


class _Seen(NamedTuple):
    """A process that was found to be the container's."""

    process: Path
    said: str
    """Of its control groups: a process of another container with its number would say something else."""
    groups: Groups


@dataclass(slots=True)
class ProcessMeter:
    """Remembers the process, and asks for it again when that has ended."""

    engine_id: str
    process: Callable[[str], int]
    """The number of a container's first process, 0 when it does not run. NotThere, EngineRefused or EngineDown."""
    proc: Path = PROC
    clock: Callable[[], float] = time.monotonic
    _seen: _Seen | None = None

    def read(self) -> Counters | None:
        """By what was seen last, or anew."""
        counters = self._counted()
        if counters is None:
            self._seen = self._look()
            counters = self._counted()
        return counters

    def _counted(self) -> Counters | None:
        seen = self._seen
        try:
            if seen is None or (seen.process / "cgroup").read_text() != seen.said:
                return None
            return counted(seen.groups, seen.process, self.clock)
        except (OSError, ValueError):
            return None

    def _look(self) -> _Seen | None:
        try:
            number = self.process(self.engine_id)
            process = self.proc / str(number)
            said = (process / "cgroup").read_text() if number else ""
            groups = groups_of(self.engine_id, said, (self.proc / "self/mountinfo").read_text())
        except (NotThere, EngineRefused, OSError):
            return None
        return _Seen(process, said, groups) if groups else None
