"""An engine in memory that pulls over HTTP as real ones do, beside a gate and a registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpcore
import httpx

from infra.hostagent.ports import EngineFacts, EngineRefused
from infra.hostagent.registry.client import RegistryClient
from infra.hostagent.registry.credentials import Credentials
from infra.hostagent.registry.gate import Gate
from infra.hostagent.registry.network import CheckedBackend, Network
from infra.hostagent.registry.source import GuardedSource
from infra.hostagent.registry.trust import Trust
from tests.fakes.engine import FakeEngine
from tests.fakes.registry import StubRegistry, digest, stub_registry


@dataclass
class FetchingEngine(FakeEngine):
    """Pulls as an engine does: manifest first, then every part, each compared with its digest."""

    given_up: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    version: str = "29.5.1"

    def facts(self) -> EngineFacts:
        return replace(super().facts(), version=self.version)

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        self.addresses.append(reference)
        name, _, wanted = reference.rpartition(":")
        host, _, repository = name.partition("/")
        base = f"http://{host}/v2/{repository}"
        try:
            manifest = self._fetched(f"{base}/manifests/{wanted}", None)
            for part in [manifest["config"], *manifest["layers"]]:
                yield {"id": part["digest"], "status": "Downloading"}
                self._fetched(f"{base}/blobs/{part['digest']}", part["digest"])
        except (httpx.HTTPError, ValueError) as error:
            raise EngineRefused("unexpected EOF") from error
        self.present.add(reference)

    def _fetched(self, url: str, wanted: str | None) -> Any:
        answer = httpx.get(url, trust_env=False, timeout=20)
        said = wanted or answer.headers["Docker-Content-Digest"]
        if answer.status_code != 200 or digest(answer.content) != said:
            raise ValueError(url)
        return answer.json() if "manifests" in url else None

    def give_up(self, reference: str) -> None:
        self.given_up.append(reference)


@dataclass
class Bench:
    engine: FetchingEngine
    registry: StubRegistry
    gate: Gate
    source: GuardedSource

    def pull(self, name: str) -> list[dict[str, Any]]:
        return list(self.source.pull(f"{self.registry.address}/{name}"))


@contextmanager
def pulling(refresh_seconds: float = 0.0) -> Iterator[Bench]:
    """All of it, for as long as this lasts."""
    with stub_registry() as registry:
        trust = Trust([], [registry.address])
        pool = httpcore.ConnectionPool(network_backend=CheckedBackend(Network(), trust.trusts))
        client, engine = RegistryClient(pool, trust, Credentials()), FetchingEngine()
        gate = Gate(client, Network())
        yield Bench(engine, registry, gate, GuardedSource(engine, client, gate, lambda: None, refresh_seconds))
        gate.close()
