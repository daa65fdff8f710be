"""Meters over the engine in memory, held to the same contract test as the real ones."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from infra.hostagent.ports import Counters, EngineDown
from tests.fakes.engine import FakeEngine

IDLE = Counters(at=0.0, cpu_seconds=0.0, memory=1_000_000, disk_read=0, disk_write=0, net_rx=0, net_tx=0)


@dataclass
class FakeMeters:
    """`ports.Meters`; a second passes from one reading to the next, of any container."""

    engine: FakeEngine
    used: dict[str, Counters] = field(default_factory=dict)
    """What containers are said to use, by the engine's ids; idle ones need not be there."""
    blind: bool = False
    """Nothing can be measured."""
    readings: int = 0
    _seconds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def of(self, engine_id: str) -> "FakeMeter":
        return FakeMeter(self, engine_id)


@dataclass
class FakeMeter:
    """One container's."""

    meters: FakeMeters
    engine_id: str
    _known: bool = False

    def read(self) -> Counters | None:
        meters = self.meters
        meters.readings += 1
        row = meters.engine.rows.get(self.engine_id)
        self._known = self._known and row is not None and row[1].running
        if not self._known and meters.engine.down:
            raise EngineDown("inspect")
        if row is None or not row[1].running or meters.blind:
            return None
        self._known = True
        return replace(meters.used.get(self.engine_id, IDLE), at=float(next(meters._seconds)))
