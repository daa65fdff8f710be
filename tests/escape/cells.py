"""Where a probe runs: its container, somebody else's beside it, and the world round the engine."""

from dataclasses import dataclass

from tests.docker.agents import RunningAgent
from tests.escape.world import World
from tests.limits.neighbour import Neighbour
from tests.limits.probes import Ground


@dataclass(frozen=True, slots=True)
class Site:
    """What there is once for all probes."""

    agent: RunningAgent
    victim: Ground
    neighbour: Neighbour
    world: World
    development: bool
    """Whether the agent says so of its engine."""
    runtimes: tuple[str, ...]

    def cell(self, ground: Ground) -> "Cell":
        return Cell(self.agent, ground.spec, self.victim, self.world)


@dataclass(frozen=True, slots=True)
class Cell(Ground):
    """A ground with a victim and a world."""

    other: Ground
    """A container of another user on the same host."""
    world: World
