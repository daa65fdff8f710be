"""What can go wrong at a door, and when it does: a call comes in, the fault that befalls it goes out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Fault(StrEnum):
    """What befalls one call to the outside."""

    DIE_BEFORE = "dies before"
    DIE_AFTER = "dies after"
    LOST = "done, but the answer is lost"
    ERROR = "refused"
    THROTTLED = "throttled"


FAULTS = tuple(Fault)


class Plan(Protocol):
    """Decides the fate of calls."""

    def fault(self, call: str) -> Fault | None:
        """What befalls this call, if anything."""

    def delay(self, call: str) -> float:
        """Seconds until the call is made."""


@dataclass
class NoFaults:
    """Everything works, in a hundredth of a second; counts the calls while it is armed."""

    calls: list[str] = field(default_factory=list)
    armed: bool = False

    def fault(self, call: str) -> Fault | None:
        if self.armed:
            self.calls.append(call)
        return None

    def delay(self, call: str) -> float:
        return 0.01


@dataclass
class OneFault(NoFaults):
    """The nth call (from 0) meets this fault, and no other."""

    at: int = 0
    kind: Fault = Fault.ERROR
    struck: Callable[[], None] = lambda: None
    """Called when it does."""

    def fault(self, call: str) -> Fault | None:
        super().fault(call)
        if not self.armed or len(self.calls) - 1 != self.at:
            return None
        self.armed = False
        self.struck()
        return self.kind


@dataclass
class RandomFaults:
    """Faults of some kinds at some rate until they are switched off; now and then a call is slow."""

    random: random.Random
    rate: float
    kinds: tuple[Fault, ...]
    slow: float
    on: bool = True
    injected: dict[Fault, int] = field(default_factory=dict)

    def fault(self, call: str) -> Fault | None:
        if not self.on or self.random.random() >= self.rate:
            return None
        kind = self.random.choice(self.kinds)
        self.injected[kind] = self.injected.get(kind, 0) + 1
        return kind

    def delay(self, call: str) -> float:
        if not self.on:
            return 0.005 + 0.02 * self.random.random()
        if self.random.random() < self.slow:
            return self.random.choice((0.5, 2.0, 6.0, 20.0)) * self.random.random()
        return 0.02 * self.random.random()
