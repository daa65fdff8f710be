"""A container that only lives beside others: it works a little all the time, and how long that takes comes out."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chalicelib.contract.resources import Resources
from tests.docker.agents import RunningAgent
from tests.limits.probes import Ground, ground_on

_WORK = """
while :; do
  began=$EPOCHREALTIME
  /bin/true
  printf %4096s > /tmp/page
  echo "$began $EPOCHREALTIME" >> /tmp/work
  sleep 0.02
done
"""
"""A process started and a page written, fifty times a second at most."""

SHARE = Resources(memory_mb=128, cpu_shares=500, disk_mb=256)


@dataclass
class Neighbour:
    """Milliseconds of one piece of work, before and during something."""

    ground: Ground
    quiet: list[float] = field(default_factory=list)

    def since(self, began: float) -> list[float]:
        """Every piece of work begun after that moment."""
        lines = (line.split() for line in self.ground.run("cat /tmp/work").output.splitlines())
        times = [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]
        return [(end - start) * 1000 for start, end in times if start >= began]

    def rest(self, seconds: float = 2.0) -> None:
        """See how long it takes when nobody else does anything."""
        began = time.time()
        time.sleep(seconds)
        self.quiet = self.since(began)

    def ratio(self, began: float) -> str:
        """Median and 99th percentile since then, as multiples of those at rest."""
        busy = self.since(began)
        if not busy or not self.quiet:
            return "-"
        middle = statistics.median(busy) / statistics.median(self.quiet)
        return f"x{middle:.1f}, p99 x{_p99(busy) / _p99(self.quiet):.1f}"


@contextmanager
def neighbour_on(agent: RunningAgent, image: str) -> Iterator[Neighbour]:
    with ground_on(agent, image, SHARE) as ground:
        ground.container.exec_run(["bash", "-c", _WORK], detach=True)
        neighbour = Neighbour(ground)
        neighbour.rest()
        yield neighbour


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
