"""The agent's way to registries: options come in, a source for pulls goes out."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpcore

from infra.hostagent.ports import Engine
from infra.hostagent.registry.client import RegistryClient
from infra.hostagent.registry.credentials import read_credentials
from infra.hostagent.registry.errors import DiskFull
from infra.hostagent.registry.gate import Gate
from infra.hostagent.registry.network import CheckedBackend, Network
from infra.hostagent.registry.source import GuardedSource
from infra.hostagent.registry.trust import Trust

CONNECTIONS = 32
FULLEST = 0.85
"""A disk fuller than this takes no more images."""


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """What the operator says of registries."""

    mirrors: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    credentials: Path | None = None
    direct: bool = False
    """Whether the engine pulls by itself, with nothing looked at: where it cannot reach this process."""
    refresh_hours: float = 24.0
    """Between two questions about a tag that is used; 0 = tags stay what they were when they came."""


def guarded_source(engine: Engine, options: RegistryOptions, netns: str | None, data_root: Path) -> GuardedSource:
    """The source of an agent whose engine is in this network namespace, and nothing left of the one before it.

    BadCredentials.
    """
    network, trust = Network(netns), Trust(options.mirrors, options.trusted)
    backend = CheckedBackend(network, trust.trusts)
    pool = httpcore.ConnectionPool(max_connections=CONNECTIONS, network_backend=backend)
    client = RegistryClient(pool, trust, read_credentials(options.credentials))
    refresh_seconds = options.refresh_hours * 3600
    return GuardedSource(engine, client, Gate(client, network), room_on(data_root), refresh_seconds)


def room_on(data_root: Path, fullest: float = FULLEST) -> Callable[[], None]:
    """Raises DiskFull while the engine's disk is too full; nothing where it cannot be seen."""

    def check() -> None:
        if data_root.exists():
            usage = shutil.disk_usage(data_root)
            if usage.used > usage.total * fullest:
                raise DiskFull

    return check
