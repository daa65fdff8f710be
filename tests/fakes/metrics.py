"""Measurements in memory: counts by name and dimensions, values of measures in order."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


def key(name: str, dimensions: dict[str, str]) -> str:
    """For example `RequestsLimited kind=requests`."""
    return " ".join([name, *(f"{each}={value}" for each, value in sorted(dimensions.items()))])


@dataclass
class MemoryMetrics:
    counts: Counter[str] = field(default_factory=Counter)
    measures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    flushed: int = 0

    def count(self, name: str, amount: float = 1, **dimensions: str) -> None:
        self.counts[key(name, dimensions)] += int(amount)

    def measure(self, name: str, value: float, unit: str, **dimensions: str) -> None:
        self.measures[key(name, dimensions)].append(value)

    def flush(self) -> None:
        self.flushed += 1
