"""Cells of the kill matrix: a target, an action and a load come in; how long it took until all was well goes out."""

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from infra.local.berth import Berth
from tests.chaos.clients import Client, client_of, load_of
from tests.chaos.faults import ACTIONS, TARGETS, strike
from tests.chaos.settled import Auditor, auditor_of

LOADS = ("idle", "creates", "deletes")
CALLS = 20
STANDING = 3
STOP_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault under one load."""

    target: str
    action: str
    load: str

    def __str__(self) -> str:
        return f"{self.target} {self.action} {self.load}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell."""

    cell: Cell
    ok: bool
    seconds: float = 0.0
    """From the end of the fault and the last answer until the auditor found nothing."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Of the containers created under the load, at the end."""
    said: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def all_cells() -> list[Cell]:
    """Every cell, the creates of a fault before its deletes, which delete them."""
    return [Cell(target, action, load) for target in TARGETS for action in ACTIONS for load in LOADS]


@dataclass
class Stage:
    """A running Berth with one user whose containers stand and one who creates and deletes."""

    berth: Berth
    auditor: Auditor
    standing: Client
    user: Client

    def play(self, cell: Cell, stop_seconds: float = STOP_SECONDS) -> Outcome:
        """Strike under the load and wait until all is well."""
        try:
            load = self._load(cell)
            load.under_way(2)
            strike(self.berth, cell.target, cell.action, stop_seconds)
            load.join()
            seconds = self.auditor.settle(self._nothing_under_way)
            self._check(cell)
        except AssertionError as error:
            return Outcome(cell, ok=False, said=str(error).splitlines()[0][:500], statuses=self._statuses())
        return Outcome(cell, ok=True, seconds=round(seconds, 1), statuses=self._statuses())

    def _load(self, cell: Cell) -> Any:
        if cell.load == "creates":
            self._clear()
            return load_of([self.user.create] * CALLS)
        if cell.load == "deletes":
            self._fill()
            return load_of([partial(self.user.delete, container_id) for container_id in self.user.statuses()])
        return load_of([])

    def _fill(self) -> None:
        """The user has as many running containers as there will be deletes."""
        missing = CALLS - len(self.user.statuses())
        load_of([self.user.create] * missing).join()
        self.auditor.settle(self._nothing_under_way)

    def _clear(self) -> None:
        load_of([partial(self.user.delete, each) for each in self.user.statuses()]).join()
        self.auditor.settle(self._nothing_under_way)
        self.user.accepted.clear()

    def _nothing_under_way(self) -> bool:
        return "creating" not in self.user.statuses().values()

    def _check(self, cell: Cell) -> None:
        assert not self.auditor.doubles, f"two engine containers at one time: {self.auditor.doubles}"
        standing = self.standing.statuses()
        assert list(standing.values()) == ["running"] * STANDING, f"containers that stood are {standing}"
        statuses = self.user.statuses()
        if cell.load == "creates":
            assert sorted(statuses) == sorted(self.user.accepted), "what was accepted is not what is there"
            assert set(statuses.values()) <= {"running", "error"}, f"creations ended as {statuses}"
        if cell.load == "deletes":
            assert statuses == {}, f"deletions left {statuses}"

    def _statuses(self) -> dict[str, int]:
        try:
            return dict(Counter(self.user.statuses().values()))
        except AssertionError:
            return {}


def stage_of(berth: Berth) -> Stage:
    """A stage on this Berth, with containers standing and running."""
    stage = Stage(berth, auditor_of(berth), client_of(berth), client_of(berth))
    for _ in range(STANDING):
        stage.standing.create()
    ends = time.monotonic() + 60
    while list(stage.standing.statuses().values()) != ["running"] * STANDING:
        assert time.monotonic() < ends, "the stage never stood"
        time.sleep(0.2)
    return stage
