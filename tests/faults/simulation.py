"""One seed: users, subscribers and bad weather on a simulated world; then everything heals, and all must hold again.

`run(seed)` replays exactly. `simulate(seeds)` is the sum of many.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Removed
from chalicelib.contract.signatures import seal
from chalicelib.contract.statuses import Status
from chalicelib.domain.changes import Changes
from chalicelib.domain.identity import Caller
from chalicelib.domain.items import frame_body
from infra.hostagent.journal.intents import Step
from tests.builders import NOW, a_caller, about
from tests.fakes.fifo import Delivery
from tests.fakes.world import HOST_KEY
from tests.faults.auditor import Tally, Violation
from tests.faults.clients import Client, Subscriber
from tests.faults.doors import utc
from tests.faults.faults import FAULTS, RandomFaults
from tests.faults.host import NOWHERE, PRESENT, REMOTE, SimHost, ended_behind_the_back, gone_behind_the_back
from tests.faults.world import Parts, Post, SimWorld

FAULTS_SECONDS = 120.0
"""How long the weather is bad."""

STEP_SECONDS = 10.0
FIRST_AUDIT_SECONDS, LAST_AUDIT_SECONDS = 60.0, 800.0
"""After the faults: all must hold at some time in between (T of I19), and go on holding for `CALM_SECONDS`."""

CALM_SECONDS = 30.0


@dataclass
class Run:
    """What came of a seed."""

    seed: int
    tally: Tally
    violation: Violation | None
    healed_after: float = 0.0
    """Seconds from the last fault until everything held."""
    trace: list[str] = field(default_factory=list)
    digest: int = 0


def simulate(seeds: Iterable[int], parts: Parts | None = None) -> Tally:
    """The sum of many seeds; AssertionError, with the seed, for the first that breaks an invariant."""
    total = Tally()
    for seed in seeds:
        result = run(seed, parts)
        if result.violation is not None:
            raise AssertionError(f"seed {seed}: {result.violation}   (make simulate SEED={seed} shows every step)")
        total.add(result.tally)
    return total


def run(seed: int, parts: Parts | None = None, traced: bool = False) -> Run:
    """One seed."""
    chance = random.Random(seed)
    plan = _plan(chance)
    world = SimWorld(seed, plan, hosts=chance.choice((1, 2, 2, 3)), parts=parts, traced=traced)
    story = Story(world, chance)
    violation = None
    healed_after = 0.0
    try:
        healed_after = story.tell()
    except Violation as broken:
        violation = broken
    finally:
        world.close()
    tally = world.auditor.tally
    tally.seeds, tally.calls = 1, world.wire.calls
    tally.faults.update({kind.value: count for kind, count in plan.injected.items()})
    return Run(seed, tally, violation, healed_after, world.wire.trace or [], world.scheduler.resumed)


def _plan(chance: random.Random) -> RandomFaults:
    """Each seed has weather of its own kind: some faults, at some rate, some slowness."""
    kinds = chance.sample(FAULTS, chance.randint(1, len(FAULTS)))
    rate = chance.choice((0.0, 0.01, 0.02, 0.05, 0.1))
    return RandomFaults(random.Random(chance.random()), rate, tuple(kinds), chance.choice((0.0, 0.02, 0.1)))


class Story:
    """What happens in one world."""

    def __init__(self, world: SimWorld, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.clients = [
            Client(world, caller, random.Random(chance.random()), self._coin(chance.choice((0.0, 0.1))))
            for caller in (a_caller(user_id="ann"), a_caller(user_id="bob"), self._guest())
        ]
        self.subscribers = [Subscriber(client, number) for number, client in enumerate(self.clients[:2])]
        self.subscribers.append(Subscriber(self.clients[0], 9))
        if chance.random() < 0.3:
            next(iter(world.hosts.values())).max_containers = 2
        world.post = Post(
            hold=self._sometimes(chance.choice((0.0, 0.1)), 70.0),
            twice=self._second(chance.choice((0.0, 0.1, 0.4))),
            keep=self._coin(chance.choice((0.0, 0.1))),
        )
        late = chance.choice((0.0, 0.0, 0.1))
        world.agents.late = self._maybe(late, 55.0)
        world.auditor.unruly = late > 0

    def _guest(self) -> Caller:
        until = NOW.timestamp() + self.chance.uniform(20, 90)
        return a_caller(user_id="guest", tier="guest", guest=True, until=utc(until))

    def _coin(self, share: float) -> Callable[[], bool]:
        return lambda: share > 0 and self.chance.random() < share

    def _sometimes(self, share: float, seconds: float) -> Callable[[], float]:
        return lambda: self.chance.random() * seconds if share > 0 and self.chance.random() < share else 0.0

    def _maybe(self, share: float, seconds: float) -> Callable[[], float | None]:
        return lambda: self.chance.random() * seconds if share > 0 and self.chance.random() < share else None

    def _second(self, share: float) -> Callable[[Delivery], float | None]:
        maybe = self._maybe(share, 20.0)
        return lambda _delivery: maybe()

    def tell(self) -> float:
        """Run it all; the seconds it took to heal, or Violation."""
        world = self.world
        world.begin()
        for subscriber in self.subscribers:
            world.run("subscriber", lambda each=subscriber: self._follow(each))
        for client in self.clients:
            world.run(f"client {client.caller.user_id}", lambda each=client: self._use(each))
        world.run("weather", self._weather)
        start = world.scheduler.now
        self._advance(start + FAULTS_SECONDS)
        self._heal()
        return self._settle()

    def _advance(self, until: float) -> None:
        scheduler = self.world.scheduler
        while scheduler.now < until:
            scheduler.run_until(min(until, scheduler.now + STEP_SECONDS))
            self.world.auditor.tick()
            self.world.auditor.check()

    def _heal(self) -> None:
        plan = self.world.wire.plan
        assert isinstance(plan, RandomFaults)
        plan.on = False
        for client in self.clients:
            client.lossy = lambda: False
        self.world.agents.late = lambda: None
        self.world.heal()

    def _settle(self) -> float:
        """Advance until all holds, and look that it goes on holding; then what subscribers have is asked for."""
        healed = self.world.scheduler.now
        self._advance(healed + FIRST_AUDIT_SECONDS)
        while found := self.world.auditor.audit():
            if self.world.scheduler.now - healed >= LAST_AUDIT_SECONDS:
                raise found[0]
            self._advance(self.world.scheduler.now + STEP_SECONDS)
        took = self.world.scheduler.now - healed
        self._advance(self.world.scheduler.now + CALM_SECONDS)
        if found := self.world.auditor.audit():
            raise found[0]
        self._ask_subscribers()
        return took

    def _ask_subscribers(self) -> None:
        """I9: each has the whole log of every container of its user that it has heard of, in order."""
        world = self.world
        tasks = [world.run("complete", each.complete) for each in self.subscribers]
        self._advance(world.scheduler.now + STEP_SECONDS)
        assert all(task.done for task in tasks)
        for subscriber in self.subscribers:
            for container_id, held in subscriber.held.items():
                log = {frame.seq: frame_body(frame) for frame in world.records.log.get(container_id, [])}
                if held != log:
                    world.auditor.tally.order_errors += 1
                    raise Violation("I9", f"subscriber has {sorted(held)} of {container_id}, the log {sorted(log)}")

    # --- users ---

    def _use(self, client: Client) -> None:
        world, chance = self.world, client.random
        for _ in range(chance.randint(1, 6)):
            world.scheduler.pause(chance.uniform(0, 25))
            live = [each for each in client.mine if each not in world.auditor.deleted_for_users]
            if not live or chance.random() < 0.45:
                self._create(client)
            elif chance.random() < 0.4:
                client.delete(chance.choice(live))
            elif chance.random() < 0.3:
                client.change(chance.choice(live), self._changes(chance))
            elif chance.random() < 0.8:
                client.power(chance.choice(live), chance.choice(list(Verb)))
            else:
                client.look(chance.choice(live))

    def _changes(self, chance: random.Random) -> Changes:
        if chance.random() < 0.5:
            return Changes(name=f"name-{chance.randint(1, 99)}")
        return Changes(memory_mb=chance.choice((256, 512, 1024, 4096)))

    def _create(self, client: Client) -> None:
        chance = client.random
        name = chance.choice((None, "web", f"name-{chance.randint(1, 99)}"))
        image = chance.choices((PRESENT, REMOTE, NOWHERE), (6, 3, 1))[0]
        client.create(name=name, image=image, keyed=chance.random() < 0.7)

    def _follow(self, subscriber: Subscriber) -> None:
        pause = self.world.scheduler.pause
        pause(self.chance.uniform(0, 5))
        while True:
            if not subscriber.connected:
                subscriber.connect()
            pause(3.0)
            subscriber.catch_up()
            if self.world.wire.plan.on and self.chance.random() < 0.05:  # type: ignore[attr-defined]
                subscriber.drop(told=self.chance.random() < 0.5)

    # --- weather ---

    def _weather(self) -> None:
        chance, pause = self.chance, self.world.scheduler.pause
        kinds: list[Callable[[SimHost], None]] = [
            self._restart_agent,
            self._restart_agent,
            self._drain,
            self._cut,
            self._mute,
            self._engine_down,
            self._engine_restart,
            self._container_ends,
            self._container_vanishes,
            self._forge,
            self._host_dies,
            self._journal_lost,
        ]
        mine = chance.sample(kinds, chance.randint(1, len(kinds)))
        ends = self.world.scheduler.now + FAULTS_SECONDS - 10
        while True:
            pause(chance.uniform(2, chance.choice((20, 60))))
            if self.world.scheduler.now > ends:
                return
            host = chance.choice(list(self.world.hosts.values()))
            kind = chance.choice(mine)
            self.world.wire.note(f"WEATHER {kind.__name__[1:]} {host.id}")
            self.world.auditor.tally.faults[kind.__name__[1:].replace("_", " ")] += 1
            kind(host)

    def _for(self, seconds: float, undo: Callable[[], None]) -> None:
        """Undo it later, or when everything heals."""
        self.world.scheduler.call_at(self.world.scheduler.now + seconds, undo)

    def _restart_agent(self, host: SimHost) -> None:
        host.kill(held_down=True)
        self._for(self.chance.choice((1.0, 5.0, 40.0)), host.begin)

    def _journal_lost(self, host: SimHost) -> None:
        """Only once what it had told has been heard: a lost journal and messages on their way are two faults too many,
        since the new journal numbers on from what the control plane has heard of.
        """
        waiting = [message for message in self.world.events.waiting() if not message.group.startswith("host-")]
        ready = {intent.container_id for intent in host.peek().intents() if intent.step is Step.READY}
        there = {container.container_id for _, container in host.engine.rows.values()}
        if waiting or host.peek().outgoing(1) or not ready <= there:
            return
        self.world.auditor.unruly = True
        host.lose_journal()
        self._for(5.0, host.begin)

    def _drain(self, host: SimHost) -> None:
        host.kill(held_down=True)
        self.world.scheduler.pause(1.0)
        host.begin(draining=True)
        self._for(self.chance.uniform(20, 60), lambda: self._undrain(host))

    def _undrain(self, host: SimHost) -> None:
        host.kill()
        host.begin()

    def _cut(self, host: SimHost) -> None:
        host.weather.unreachable = True
        self.world.auditor.unruly = True
        self._for(self.chance.uniform(5, 90), lambda: setattr(host.weather, "unreachable", False))

    def _mute(self, host: SimHost) -> None:
        host.weather.mute = True
        self.world.auditor.unruly = True
        self._for(self.chance.uniform(5, 110), lambda: setattr(host.weather, "mute", False))

    def _engine_down(self, host: SimHost) -> None:
        host.engine.down = True
        self._for(self.chance.uniform(2, 50), lambda: self._engine_up(host))

    def _engine_up(self, host: SimHost) -> None:
        host.engine.down = False
        self.world.engine_up_since[host.id] = self.world.scheduler.now

    def _engine_restart(self, host: SimHost) -> None:
        host.engine.holders.update(dict.fromkeys(host.engine.holders, False))
        for engine_id in list(host.engine.rows):
            ended_behind_the_back(host, engine_id, 137)

    def _container_ends(self, host: SimHost) -> None:
        if host.engine.rows:
            ended_behind_the_back(host, self.chance.choice(list(host.engine.rows)))

    def _container_vanishes(self, host: SimHost) -> None:
        if host.engine.rows and not host.forgetful:
            gone_behind_the_back(host, self.chance.choice(list(host.engine.rows)))

    def _forge(self, host: SimHost) -> None:
        """A host that was broken into speaks of another's container (I16)."""
        others = [
            record
            for record in self.world.records.records.values()
            if record.host_id not in (None, host.id) and record.status in (Status.CREATING, Status.RUNNING)
        ]
        if not others:
            return
        record = self.chance.choice(others)
        cause = Cause(code=Code.USER, actor=Actor.USER, message="forged")
        body = seal(Removed(**about(record, number=record.number + 1), cause=cause), host.id, HOST_KEY)
        task = self.world.invoke("status forged", lambda: self.world.status.record(body))
        self.world.forged.add(task)

    def _host_dies(self, host: SimHost) -> None:
        alive = [each for each in self.world.hosts.values() if not each.weather.dead]
        if len(alive) == len(self.world.hosts) > 1:
            host.die()
