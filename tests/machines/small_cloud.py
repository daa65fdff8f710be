"""Control plane and two hosts' agents in one thread: steps of lives come in, and everything delivered in any order.

Queues keep their order per container. Whatever is delivered, command, call or event, may come again any time later.
"""

import contextlib
import random
import sqlite3
from collections.abc import Callable
from typing import Any

from chalicelib.contract.agent_api import ContainerSpec, Holdings, PowerCall, RefusalCode, Removal, ResizeCall
from chalicelib.contract.commands import Command
from chalicelib.contract.events import Batch, parse_event
from chalicelib.contract.signatures import seal
from chalicelib.domain.errors import AgentRefused, RetryLater, UntrustedEvent
from chalicelib.domain.host import Host
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import CallRefused, Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.journal.intents import Outgoing
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import EngineRefused
from tests.builders import a_report
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles
from tests.fakes.world import HOST_KEY, World
from tests.machines.subscribers import Audience

HOSTS = ("host-1", "host-2")
Work = Callable[[], None]


class OneThread:
    """`Runtime` that does work when told to, at the world's time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.work: list[Work] = []

    def time(self) -> float:
        return self._world.clock.now().timestamp()

    monotonic = time

    def lock(self) -> Any:
        return contextlib.nullcontext()

    def semaphore(self, count: int) -> Any:
        return contextlib.nullcontext()

    def flag(self) -> Any:
        return _Flag()

    def spawn(self, work: Work) -> None:
        self.work.append(work)

    def close(self, seconds: float) -> None:
        self.work.clear()


class _Flag:
    def is_set(self) -> bool:
        return False

    set = clear = is_set

    def wait(self, timeout: float | None = None) -> bool:
        return False


class NoImages:
    """No image can be pulled."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def find(self, spec: ContainerSpec) -> str | None:
        found = self._engine.image(spec.image)
        return found.id if found else None

    def wait(self, spec: ContainerSpec, deadline: float, tell: Any, check: Any) -> str:
        raise EngineRefused(f"manifest for {spec.image} not found: manifest unknown")


class HostSide:
    """One host's agent on an engine of its own."""

    def __init__(self, world: World, host_id: str) -> None:
        self.host_id = host_id
        self.runtime = OneThread(world)
        self.engine = FakeEngine(present={"debian:bookworm"})
        self.journal = Journal(sqlite3.connect(":memory:", isolation_level=None), self.runtime)
        means = Means(self.engine, self.journal, self.runtime, lambda: None, MemoryFiles(), MemoryDisk())
        creation = Creation(means, NoImages(self.engine), Place(host_id, "network", 2, engine_patience_seconds=0))
        self.keeper = Keeper(means, creation, Policy(host_id, 100))


class SmallCloud:
    """`copies` of every message and call arrive; `refuse` are names that the first host asked refuses, once."""

    def __init__(self, seed: int, copies: int, refuse: frozenset[str]) -> None:
        self.choose = random.Random(seed)
        self.copies = copies
        self.refuse = set(refuse)
        self.world = World(hosts=len(HOSTS))
        self.audience = Audience()
        for service in (self.world.fanout, self.world.subscriptions):
            object.__setattr__(service, "sockets", self.audience)
        object.__setattr__(self.world.fanout, "spread", lambda work, connections: [work(each) for each in connections])
        object.__setattr__(self.world.provisioning, "agents", self)
        self.hosts = {host_id: HostSide(self.world, host_id) for host_id in HOSTS}
        self.waiting: dict[tuple[str, str], list[Work]] = {}
        """Messages by queue and container, in order."""
        self.late: list[Work] = []

    # Agents, as the provision function sees them.

    def create(self, host: Host, spec: ContainerSpec) -> None:
        if spec.name in self.refuse:
            self.refuse.discard(spec.name)
            raise AgentRefused(RefusalCode.FULL)
        self._call(host, lambda keeper: keeper.accept(spec))

    def delete(self, host: Host, removal: Removal) -> None:
        self._call(host, lambda keeper: keeper.remove(removal))

    def power(self, host: Host, call: PowerCall) -> None:
        self._call(host, lambda keeper: keeper.power(call))

    def resize(self, host: Host, call: ResizeCall) -> None:
        self._call(host, lambda keeper: keeper.resize(call))

    def holdings(self, host: Host) -> Holdings:
        return self.hosts[host.id].keeper.inventories.holdings()

    def _call(self, host: Host, call: Callable[[Keeper], None]) -> None:
        """Made, and made again whenever."""
        keeper = self.hosts[host.id].keeper

        def again() -> None:
            with contextlib.suppress(CallRefused):
                call(keeper)

        try:
            call(keeper)
        except CallRefused as refused:
            raise AgentRefused(refused.code) from refused
        for _ in range(self.copies - 1):
            self.late.append(again)

    # Messages.

    def collect(self) -> None:
        """What was sent goes to its queue."""
        for command, _ in self.world.commands.sent:
            self._put("commands", command.container_id, lambda command=command: self._carry_out(command))  # type: ignore[misc]
        for event, _ in self.world.events.sent:
            group = getattr(event, "container_id", "")
            self._put("events", group, lambda event=event: self.world.from_control_plane(event))  # type: ignore[misc]
        self.world.commands.sent.clear()
        self.world.events.sent.clear()
        for host in self.hosts.values():
            for waiting in self._together(host.journal.outgoing(100)):
                host.journal.sent(waiting)
                self._put("events", waiting[0].container_id, self._heard(host, waiting))

    def _put(self, queue: str, group: str, work: Work) -> None:
        self.waiting.setdefault((queue, group), []).append(work)

    def _carry_out(self, command: Command) -> None:
        self.world.provisioning.carry_out(command, 1)

    def _together(self, waiting: list[Outgoing]) -> list[list[Outgoing]]:
        """Events of one container, now and then several in one message."""
        messages: list[list[Outgoing]] = []
        for outgoing in waiting:
            last = messages[-1] if messages else []
            if last and last[0].container_id == outgoing.container_id and self.choose.choice([False, True]):
                last.append(outgoing)
            else:
                messages.append([outgoing])
        return messages

    def _heard(self, host: HostSide, waiting: list[Outgoing]) -> Work:
        events: list[Any] = [parse_event(each.event) for each in waiting]
        body = seal(events[0] if len(events) == 1 else Batch(events=events), host.host_id, HOST_KEY)
        return lambda: self.world.status.record(body)

    # Time.

    def step(self, users: list[Work]) -> bool:
        """Something that can happen happens; False when nothing can."""
        self.collect()
        can: list[Work] = [*users, *self._work(), *self._messages()]
        if self.late:
            can.append(self._late)
        if can:
            self.choose.choice(can)()
        return bool(can)

    def _work(self) -> list[Work]:
        return [
            lambda host=host: host.runtime.work.pop(0)()  # type: ignore[misc]
            for host in self.hosts.values()
            if host.runtime.work
        ]

    def _messages(self) -> list[Work]:
        return [lambda key=key: self._deliver(key) for key, works in self.waiting.items() if works]  # type: ignore[misc]

    def _deliver(self, key: tuple[str, str]) -> None:
        """The oldest of its group; what is not done with stays the oldest."""
        work = self.waiting[key][0]
        with contextlib.suppress(RetryLater):
            work()
            self.waiting[key].pop(0)
            self.late += [work] * (self.copies - 1)

    def _late(self) -> None:
        work = self.late.pop(self.choose.randrange(len(self.late)))
        with contextlib.suppress(RetryLater, UntrustedEvent):
            work()

    def beat(self) -> None:
        """Every host says that it is there."""
        for host_id in HOSTS:
            self.world.hosts.heartbeat(host_id, a_report(), self.world.clock.now())
