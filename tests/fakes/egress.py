"""Who may reach what in memory, held to the same contract tests as the packet rules of a host."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from infra.hostagent.network.egress import Admission, EgressFailed, Guest, changed


@dataclass
class FakeEgress:
    """`egress.Egress`; while it is `broken`, no change is made."""

    rows: list[Admission] = field(default_factory=list)
    broken: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def admitted(self) -> list[Admission]:
        return list(self.rows)

    def change(self, come: Sequence[Guest], gone: Sequence[Admission] = ()) -> None:
        if self.broken:
            raise EgressFailed("no rules can be set")
        self.rows = changed(self.rows, [Admission(next(self._numbers), guest) for guest in come], gone)
