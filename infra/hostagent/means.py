"""What every part of the agent's core works with: engine, journal, and the process's time and threads."""

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.hostagent.disk import Disk
from infra.hostagent.egress import ClosedEgress, Egress
from infra.hostagent.files import Files
from infra.hostagent.journal import Journal
from infra.hostagent.networks import EngineNetworks, Networks
from infra.hostagent.pool import NoPool, Pool
from infra.hostagent.ports import Engine
from infra.hostagent.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Means:
    """One set for one process; a simulation brings its own."""

    engine: Engine
    journal: Journal
    runtime: Runtime
    told: Callable[[], None]
    """Called after events were written to the journal, so that they are sent at once."""
    files: Files
    disk: Disk
    networks: Networks = field(default_factory=EngineNetworks)
    egress: Egress = field(default_factory=ClosedEgress)
    pool: Pool = field(default_factory=NoPool)
