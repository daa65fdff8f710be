"""What one measure found: samples and a goal come in, a row for tables and for keeping goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tests.bench.series import median, p95, paired

Kind = Literal["ratio", "p95", "median"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: at most this, or at least."""

    kind: Kind
    value: float
    least: bool = False

    def met(self, found: float) -> bool:
        return found >= self.value if self.least else found <= self.value


@dataclass(frozen=True, slots=True)
class Measure:
    """Samples of ours, by round, and of the raw engine in the same rounds where there is such a thing."""

    name: str
    unit: str
    ours: Sequence[float]
    raw: Sequence[float] = field(default_factory=list)
    goal: Goal | None = None
    note: str = ""

    @property
    def found(self) -> float | None:
        """The figure that the goal is about."""
        if self.goal is None:
            return None
        if self.goal.kind == "ratio":
            return paired(self.ours, self.raw).middle
        return p95(self.ours) if self.goal.kind == "p95" else median(self.ours)

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.found is not None and not self.goal.met(self.found)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the benchmarks as it was run."""

    name: str
    at: str
    machine: str
    load: float
    measures: Sequence[Measure]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def kept(self) -> dict[str, Any]:
        return asdict(self)
