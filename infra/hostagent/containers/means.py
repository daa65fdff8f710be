"""What every part of the agent's core works with: engine, journal, and the process's time and threads."""

from collections.abc import Callable
from dataclasses import dataclass, field

from infra.hostagent.containers.files import Files
from infra.hostagent.journal.journal import Journal
from infra.hostagent.network.egress import ClosedEgress, Egress
from infra.hostagent.network.networks import EngineNetworks, Networks
from infra.hostagent.ports import Engine
from infra.hostagent.quotas.disk import Disk
from infra.hostagent.runtime import Runtime
from infra.hostagent.warm.pool import NoPool, Pool


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
