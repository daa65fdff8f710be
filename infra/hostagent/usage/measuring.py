"""What a container uses beside what it may use: its id and generation come in, numbers for people go out."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.contract.agent_api import Used
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import Counters, EngineRefused, Meter, Meters, NotThere
from infra.hostagent.quotas.disk import MEGABYTE, Disk, Gauge

MOMENT_SECONDS = 0.25
"""Long enough to see how busy a container is: the kernel grants processors by tenths of a second."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """What measures the containers of a host."""

    journal: Journal
    meters: Meters
    disk: Disk

    def of(self, container_id: str, generation: int) -> "Measured":
        """One container, to be measured now and then; never waits."""
        return Measured(self, container_id, generation)

    def now(self, container_id: str, generation: int, sleep: Callable[[float], object] = time.sleep) -> Used | None:
        """By two readings, a moment apart. EngineDown."""
        measured = self.of(container_id, generation)
        if measured.read() is None:
            return None
        sleep(MOMENT_SECONDS)
        return measured.read()


@dataclass(slots=True)
class Measured:
    """One container. For one thread at a time."""

    by: Measuring
    container_id: str
    generation: int
    _instruments: "_Instruments | None" = None

    def read(self) -> Used | None:
        """None while it does not run, or cannot be measured. EngineDown."""
        intent = self.by.journal.get(self.container_id)
        if intent is None or (intent.generation, intent.step) != (self.generation, Step.READY):
            return None
        if intent.engine_id is None or intent.spec is None:
            return None
        if self._instruments is None or self._instruments.engine_id != intent.engine_id:
            self._instruments = _Instruments(intent.engine_id, self.by.meters.of(intent.engine_id))
        counters, percent = self._instruments.read()
        if counters is None:
            return None
        granted = intent.spec.resources
        return Used(
            cpu_percent=percent,
            memory=counters.memory,
            memory_limit=granted.memory_mb * MEGABYTE,
            disk_read=counters.disk_read,
            disk_write=counters.disk_write,
            disk_usage=self._instruments.written(self.by.disk),
            disk_limit=granted.disk_mb * MEGABYTE,
            net_rx=counters.net_rx,
            net_tx=counters.net_tx,
        )


@dataclass(slots=True)
class _Instruments:
    """Those of one engine container, and what they showed last."""

    engine_id: str
    meter: Meter
    last: Counters | None = None
    gauge: Gauge | None = None

    def read(self) -> tuple[Counters | None, float]:
        before, self.last = self.last, self.meter.read()
        return self.last, _percent(before, self.last)

    def written(self, disk: Disk) -> int | None:
        """The engine is asked once where that is."""
        if self.gauge is None:
            try:
                self.gauge = disk.gauge(self.engine_id)
            except (NotThere, EngineRefused):
                self.gauge = _untold
        return self.gauge()


def _untold() -> None:
    return None


def _percent(before: Counters | None, now: Counters | None) -> float:
    """0 at first, and when it has been started again meanwhile."""
    if before is None or now is None or now.at <= before.at:
        return 0.0
    return round(max(now.cpu_seconds - before.cpu_seconds, 0.0) / (now.at - before.at) * 100, 2)
