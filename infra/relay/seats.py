"""How many may be connected at once: who wants in comes in, a seat for the time of a block goes out, or a refusal."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.relay.refusals import SOON, refused


@dataclass(frozen=True, slots=True)
class Seats:
    """Places of one relay."""

    of_one: int
    of_all: int
    _taken: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """One seat is the owner's inside, or Refused."""
        if self._taken[owner] >= self.of_one:
            error = f"too many terminals: at most {self.of_one} at once"
            raise refused(429, "too_many_connections", error, SOON)
        if self._taken.total() >= self.of_all:
            raise refused(503, "relay_full", "the relay is full", SOON)
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]

    @property
    def count(self) -> int:
        """Seats taken."""
        return self._taken.total()
