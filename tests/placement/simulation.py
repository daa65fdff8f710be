"""The simulation: a fleet, a load and a rule of choice come in, figures go out; every second once, seeded.

Placing goes as `services.provisioning` does it; what silent hosts held is ended by the real `services.leases`.
"""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from statistics import median

from chalicelib.contract.statuses import Status
from chalicelib.domain.errors import NoCapacity
from chalicelib.domain.placement import Wish
from chalicelib.services.provisioning import BACKOFF_SECONDS, PLACE_TRIES
from tests.placement.fleet import Fleet
from tests.placement.leasing import Leasing
from tests.placement.load import RAMP, Load, Wishes, record_of
from tests.placement.policies import Policy
from tests.placement.rows import Machine, Record

END = RAMP + 1800
DRAIN = (RAMP + 100, RAMP + 700)
OUTAGE = (RAMP + 300, RAMP + 330)
RACK_DIES = RAMP + 900
RACK_SHARE = 0.02
DRAIN_SHARE = 0.01
DEATHS_A_DAY = 0.01
SLOW_ANSWERS_LATE = 0.1
PATIENCE = 170


@dataclass
class Figures:
    """What was counted."""

    placed: int = 0
    chosen_at: Counter[float] = field(default_factory=Counter)
    """First choices, by how full the fleet was, in steps of 5 %."""
    bounced_at: Counter[float] = field(default_factory=Counter)
    """Of these, how often the reservation refused the first choice."""
    agent_refused: int = 0
    unanswered: int = 0
    waited: int = 0
    given_up: int = 0
    warm: int = 0
    overfull: int = 0
    peak: float = 0.0
    """The fullest that the whole fleet was."""
    most_alive: int = 0
    spreads: list[float] = field(default_factory=list)
    """How far the 99th percentile of hosts was above the mean, every 20 s."""
    fullest: float = 0.0
    curve: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    """Second, fleet's mean, 1st and 99th percentile and fullest host."""

    @property
    def spread(self) -> float:
        """At the usual moment."""
        return median(self.spreads)

    @property
    def widest(self) -> float:
        """At the worst moment."""
        return max(self.spreads)

    def bounced(self, most: float = 1.0) -> float:
        """The share of first choices that the reservation refused while the fleet was no fuller."""
        chosen = sum(count for level, count in self.chosen_at.items() if level < most)
        return sum(count for level, count in self.bounced_at.items() if level < most) / max(1, chosen)


class Simulation:
    """One run."""

    def __init__(self, fleet: Fleet, load: Load, policy: Policy, outage: tuple[int, int] = OUTAGE) -> None:
        self.fleet, self.load, self.policy, self.outage = fleet, load, policy, outage
        self.figures = Figures()
        self.leasing = Leasing(fleet, self._step)
        self._wishes = Wishes(load.random)
        self._ending: defaultdict[int, list[Record]] = defaultdict(list)
        self._waiting: defaultdict[int, deque[tuple[Record, Wish, int, int]]] = defaultdict(deque)
        self._unanswered: defaultdict[int, list[tuple[Record, int]]] = defaultdict(list)
        self._numbers = 0
        self._left = 0
        self._level = 0.0
        self._draining: list[Machine] = []
        self.rack: list[Machine] = []

    def run(self, end: int = END) -> Figures:
        while self.fleet.second < end:
            self._step()
        return self.figures

    def _step(self) -> None:
        self.fleet.tick()
        self._hosts_change()
        self._leave()
        self._arrive()
        if self.fleet.second % 20 == 0:
            self._look()
        self.leasing.tick()

    def _hosts_change(self) -> None:
        fleet, second = self.fleet, self.fleet.second
        fleet.blind = self.outage[0] <= second < self.outage[1]
        if second == DRAIN[0]:
            self._draining = fleet.random.sample(fleet.machines, max(1, int(DRAIN_SHARE * len(fleet.machines))))
        if second in DRAIN:
            for machine in self._draining:
                machine.row.draining = second == DRAIN[0]
        if fleet.random.random() < DEATHS_A_DAY * len(fleet.machines) / 86_400:
            fleet.machines[fleet.choice(len(fleet.machines))].alive = False
        if second == RACK_DIES:
            size = max(1, int(RACK_SHARE * len(fleet.machines)))
            begin = fleet.choice(len(fleet.machines) - size)
            self.rack = fleet.machines[begin : begin + size]
            self.leasing.rack_dies(self.rack)

    def _leave(self) -> None:
        for record in self._ending.pop(self.fleet.second, ()):
            if record.machine is None or not record.machine.alive:
                continue
            if record.status is Status.RUNNING:
                self.fleet.free(record)
                self._left += 1
            else:
                self._ending[self.fleet.second + 30].append(record)

    def _arrive(self) -> None:
        second = self.fleet.second
        for record, attempt in self._unanswered.pop(second, ()):
            self._asked_again(record, attempt)
        for record, wish, attempt, since in self._waiting.pop(second, ()):
            self._place(record, wish, attempt, since)
        for _ in range(self.load.arrivals(second)):
            wish = self._wishes.next()
            self._numbers += 1
            self._place(record_of(self._numbers, wish, second + self.load.life(second)), wish, 1, second)

    def _place(self, record: Record, wish: Wish, attempt: int, since: int) -> None:
        machine = self._reserved(record, wish)
        if machine is not None:
            self._ending[record.ends].append(record)
            self.figures.placed += 1
        elif self.fleet.second - since > PATIENCE:
            self.figures.given_up += 1
        else:
            pause = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1]
            self.figures.waited += 1
            self._waiting[self.fleet.second + pause].append((record, wish, attempt + 1, since))

    def _reserved(self, record: Record, wish: Wish) -> Machine | None:
        """Choose, reserve and hand over as `Provisioning` does, with the same numbers of tries."""
        refused: set[str] = set()
        for number in range(PLACE_TRIES):
            try:
                chosen = self.policy(self.fleet, replace(wish, refused=frozenset(refused)) if refused else wish)
            except NoCapacity:
                return None
            self.figures.chosen_at[self._level] += number == 0
            machine = self.fleet.by_id[chosen.id]
            if not self.fleet.hold(machine, wish.resources):
                self.figures.bounced_at[self._level] += number == 0
            elif self._handed_over(record, machine, wish):
                return machine
            refused.add(chosen.id)
        return None

    def _handed_over(self, record: Record, machine: Machine, wish: Wish) -> bool:
        row = machine.row
        record.machine = machine
        machine.records[record] = None
        if row.reserved.memory_mb > machine.believes_mb:
            self.figures.agent_refused += 1
            self._note_failure(machine)
            self.fleet.free(record)
            return False
        if not machine.alive or (machine.slow and self.fleet.random.random() < SLOW_ANSWERS_LATE):
            # It may have it for all we know, so the record stays there (M3).
            self.figures.unanswered += 1
            self._note_failure(machine)
            self.leasing.waits(record)
            self._unanswered[self.fleet.second + BACKOFF_SECONDS[0]].append((record, 2))
        self.figures.warm += wish.image in row.report.images
        row.report.images.add(wish.image)
        return True

    def _asked_again(self, record: Record, attempt: int) -> None:
        """The command comes again, to the same host."""
        machine = record.machine
        if machine is None or record.status is not Status.CREATING:
            return
        if machine.alive and not (machine.slow and self.fleet.random.random() < SLOW_ANSWERS_LATE):
            self.leasing.is_up(record)
            return
        pause = BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1]
        self._unanswered[self.fleet.second + pause].append((record, attempt + 1))

    def _note_failure(self, machine: Machine) -> None:
        if not machine.view.failing(self.fleet.now):
            machine.row.failed_at = self.fleet.now

    def _look(self) -> None:
        figures, full = self.figures, self.fleet.fullnesses()
        figures.most_alive = max(figures.most_alive, figures.placed - self._left - self.leasing.ended)
        figures.overfull += self.fleet.overfull
        if not full:
            return
        mean, high = sum(full) / len(full), full[int(0.99 * (len(full) - 1))]
        figures.curve.append((self.fleet.second, mean, full[len(full) // 100], high, full[-1]))
        figures.peak = max(figures.peak, mean)
        self._level = int(mean * 20) / 20
        if self.fleet.second >= RAMP:
            figures.spreads.append(high - mean)
            figures.fullest = max(figures.fullest, full[-1])
