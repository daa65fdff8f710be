"""Measures in the simulation of `tests/faults`: sizes come in; kills, orphans, frames and audits go out as measures."""

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.auditor import Tally, Violation
from tests.faults.clients import Subscriber
from tests.faults.crashpoints import FLOWS, ORPHAN_LOOK_SECONDS, run_case, run_plain
from tests.faults.faults import Fault, RandomFaults
from tests.faults.simulation import STEP_SECONDS, Story, run
from tests.faults.world import Post, SimWorld
from tests.figures.measures import SIMULATED, Measure, Size

KILLS = (Fault.DIE_BEFORE, Fault.DIE_AFTER)
PLANTS = "orphan sync"
"""The flow that begins with an orphan put there by hand: it is not left by the kill, so it counts for the end alone."""

RESTART_SECONDS = 5.0
"""A supervisor starts a killed agent again within so long."""

MORE_FOLLOWERS = 6
"""Of each of two users; ten connections a user are allowed, and dropped ones count until they are found out."""


def crash_points(size: Size) -> list[Measure]:
    """Every process killed before and after every call to the outside that it makes, in every flow."""
    cases = [
        run_case(flow, at, kind, call)
        for flow in FLOWS
        for at, call in list(enumerate(run_plain(flow).calls))[:: size.crash_stride]
        for kind in KILLS
    ]
    broken = [str(case) for case in cases if case.violation]
    left = [case.orphans for case in cases if case.flow.name != PLANTS]
    how = f"{len(FLOWS)} flows; each process killed before and after each call it makes; engines looked at 60 s later"
    return [
        Measure(
            "orphans 60 s after SIGKILL, every step", len(left), "kills", sum(left), how,
            SIMULATED, least_n=1 if size.quick else 700,
            note=f"slowest recovery {max(case.healed_after for case in cases):.0f} s",
        ),
        Measure(
            "an invariant broken after a kill, every step", len(cases), "kills", len(broken), how, SIMULATED,
            note="; ".join(broken)[:300],
        ),
    ]  # fmt: skip


class Killed(Story):
    """Processes die in the middle of calls and agents are killed, and nothing else goes wrong."""

    def __init__(self, world: SimWorld, chance: random.Random) -> None:
        super().__init__(world, chance)
        self.orphans = self.outliving = 0
        self.world.post = Post()
        self.world.agents.late = lambda: None
        self.world.auditor.unruly = False
        for client in self.clients:
            client.lossy = lambda: False

    def _weather(self) -> None:
        ends = self.world.scheduler.now + 110.0
        while True:
            self.world.scheduler.pause(self.chance.uniform(2, 20))
            if self.world.scheduler.now > ends:
                return
            self.world.auditor.tally.faults["restart agent"] += 1
            host = self.chance.choice(list(self.world.hosts.values()))
            host.kill()
            self._for(self.chance.uniform(0.5, RESTART_SECONDS), host.begin)

    def _begin_again(self) -> None:
        """An agent that died in a call is started again too."""
        while True:
            self.world.scheduler.pause(RESTART_SECONDS)
            for host in self.world.hosts.values():
                host.begin()

    def tell(self) -> float:
        self.world.run("supervisor", self._begin_again)
        return super().tell()

    def _heal(self) -> None:
        super()._heal()
        self._advance(self.world.scheduler.now + ORPHAN_LOOK_SECONDS)
        self.orphans, self.outliving = self.world.auditor.orphans(), self.world.auditor.outliving()


def kills(size: Size) -> list[Measure]:
    """Users at work while processes are killed at random, several at a time."""
    killed, orphans, outliving, broken = 0, 0, 0, []
    for seed in range(size.killed_seeds):
        chance = random.Random(seed)
        plan = RandomFaults(random.Random(chance.random()), chance.choice((0.02, 0.05)), KILLS, slow=0.02)
        story = Killed(SimWorld(seed, plan, hosts=2), chance)
        try:
            story.tell()
        except Violation as violation:
            broken.append(f"seed {seed}: {violation}")
        finally:
            story.world.close()
        tally = story.world.auditor.tally
        killed += sum(plan.injected.values()) + tally.faults["restart agent"]
        orphans, outliving = orphans + story.orphans, outliving + story.outliving
    how = f"{size.killed_seeds} seeds; processes killed at random for two minutes, agents started again within 5 s"
    return [
        Measure(
            "orphans 60 s after SIGKILL, at random", killed, "kills", orphans, how, SIMULATED,
            least_n=1 if size.quick else 1000,
            note=f"{outliving} still ran then though its record was in error",
        ),
        Measure(
            "an invariant broken after kills, at random", killed, "kills", len(broken), how, SIMULATED,
            note="; ".join(broken)[:300],
        ),
    ]  # fmt: skip


class Followed(Story):
    """Bad weather with many more subscribers, whose connections break often."""

    def __init__(self, world: SimWorld, chance: random.Random) -> None:
        super().__init__(world, chance)
        more = [Subscriber(client, 20 + number) for client in self.clients[:2] for number in range(MORE_FOLLOWERS)]
        self.subscribers += more

    def _follow(self, subscriber: Subscriber) -> None:
        """Connect, hear, fetch what is missing, and lose the connection in one of seven looks."""
        pause, plan = self.world.scheduler.pause, self.world.wire.plan
        assert isinstance(plan, RandomFaults)
        pause(self.chance.uniform(0, 5))
        while True:
            if not subscriber.connected:
                pause(self.chance.uniform(0, STEP_SECONDS))
                subscriber.connect()
            pause(3.0)
            subscriber.catch_up()
            if plan.on and self.chance.random() < 1 / 7:
                subscriber.drop(told=self.chance.random() < 0.5)


@dataclass
class Heard:
    """What came of following."""

    tally: Tally
    subscribers: int = 0
    connections: int = 0
    logs: int = 0
    broken: list[str] = field(default_factory=list)


def follow(size: Size) -> list[Measure]:
    """Frames pushed until there are enough; every subscriber must end with every log, whole and in order."""
    heard, seed = Heard(Tally()), 0
    while heard.tally.frames < size.follower_frames:
        _follow_one(seed, heard)
        seed += 1
    tally, broken = heard.tally, heard.broken
    kinds = Counter(line.split(": ")[1] for line in broken)
    how = (
        f"{seed} seeds of bad weather, {heard.subscribers:,} subscribers whose connections broke "
        f"{heard.connections - heard.subscribers:,} times; caught up with {heard.logs:,} logs, compared whole"
    )
    note = f"{tally.gaps:,} gaps seen and closed, {tally.repeats:,} repeats passed over"
    least = 1 if size.quick else 100_000
    return [
        Measure("order errors and gaps after catch-up", tally.frames, "frames pushed", kinds["I9"] + kinds["I10"], how,
                SIMULATED, least_n=least, note=note),
        Measure("another invariant broken meanwhile", seed, "seeds", len(broken) - kinds["I9"] - kinds["I10"], how,
                SIMULATED, note="; ".join(broken)[:300]),
    ]  # fmt: skip


def _follow_one(seed: int, heard: Heard) -> None:
    chance = random.Random(f"follow {seed}")
    plan = RandomFaults(random.Random(chance.random()), chance.choice((0.0, 0.01, 0.03)), tuple(Fault), slow=0.02)
    story = Followed(SimWorld(seed, plan, hosts=2), chance)
    try:
        story.tell()
    except Violation as violation:
        heard.broken.append(f"seed {seed}: {violation}")
    finally:
        story.world.close()
    heard.tally.add(story.world.auditor.tally)
    heard.subscribers += len(story.subscribers)
    heard.connections += sum(each.connections for each in story.subscribers)
    heard.logs += sum(len(each.held) for each in story.subscribers)


def weather(size: Size) -> list[Measure]:
    """All kinds of faults together: what is doubled, and what an audit finds when all is healed."""
    total, broken = Tally(), []
    for seed in range(size.weather_seeds):
        result = run(seed)
        total.add(result.tally)
        if result.violation is not None:
            broken.append(f"seed {seed}: {result.violation}")
    how = f"{size.weather_seeds} seeds of any weather ({total.faults.total():,} faults of {len(total.faults)} kinds)"
    return [
        Measure("duplicates after a lost answer and a retry", total.retries, "retries", total.doubled, how, SIMULATED,
                note=f"of {total.creates:,} creates"),
        Measure("records without containers, containers without records, after a sweep", total.creates, "creates",
                len(broken), how, SIMULATED, note="; ".join(broken)[:300]),
    ]  # fmt: skip
