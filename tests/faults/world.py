"""The whole of Berth in one thread: a seed comes in, shipped services and agents over simulated doors go out.

Every invocation of a function is a process of its own, as is every agent. What is replaced for an ablation is named
in `Parts`; shipped code has no switches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalice.app import SQSEvent
from pydantic import ValidationError

from chalicelib.contract.signatures import public_key_of
from chalicelib.domain.connection import Connection
from chalicelib.domain.errors import BerthError
from chalicelib.edge import queues
from chalicelib.services.fanout import FanOut
from chalicelib.services.inventories import Inventories
from chalicelib.services.keyring import Keyring
from chalicelib.services.leases import Leases
from chalicelib.services.lifecycle import Lifecycle
from chalicelib.services.provisioning import Provisioning
from chalicelib.services.rates import Limit, Limiter, Pulls
from chalicelib.services.reconfiguration import Reconfiguration
from chalicelib.services.status import StatusWriter
from chalicelib.services.subscriptions import Subscriptions
from chalicelib.services.sweep import Sweep
from chalicelib.services.unmeasured import UNMEASURED
from tests.builders import NOW, PLENTY
from tests.fakes.clock import FakeIds
from tests.fakes.fifo import Delivery, FifoQueue
from tests.fakes.rates import MemoryRates
from tests.fakes.stores import MemoryConnections, MemoryContainers, MemoryHosts
from tests.fakes.world import CONTROL_KEY, HOST_KEY
from tests.faults import host as hosts_module
from tests.faults.auditor import Auditor
from tests.faults.doors import (
    QueueClient,
    Redelivery,
    SimClock,
    SimSockets,
    Table,
    Wire,
    commands_to,
    events_to,
)
from tests.faults.faults import Plan
from tests.faults.host import SimAgents, SimHost
from tests.faults.scheduler import Process, Scheduler, SimFlag, Task

VISIBILITY_SECONDS, MAX_RECEIVES = 60.0, 10
FUNCTION_SECONDS, SWEEP_SECONDS, SWEEP_EVERY = 30.0, 55.0, 60.0
LEASES_SECONDS = 40.0
RESTART_SECONDS = 2.0

CONTROL_PUBLIC, HOST_PUBLIC = public_key_of(CONTROL_KEY), public_key_of(HOST_KEY)


@dataclass
class Parts:
    """What the world is built of."""

    store: type[MemoryContainers] = MemoryContainers
    provisioning: type[Provisioning] = Provisioning
    status: type[StatusWriter] = StatusWriter
    sweeps: bool = True
    leases: bool = True
    host: hosts_module.Parts = field(default_factory=hosts_module.Parts)


@dataclass
class Post:
    """How messages are delivered: `hold` seconds late, and `twice` when so many seconds lie between; by message."""

    hold: Callable[[], float] = lambda: 0.0
    twice: Callable[[Delivery], float | None] = lambda _delivery: None
    keep: Callable[[], bool] = lambda: False
    """Whether deleting a message that is done with fails."""


class SimQueue(FifoQueue):
    """A queue that says when something may have become ready."""

    changed: SimFlag

    def send(self, body: str, group: str, identity: str) -> str:
        sent = super().send(body, group, identity)
        self.changed.set()
        return sent

    def delete(self, receipt: str) -> None:
        super().delete(receipt)
        self.changed.set()

    def change_visibility(self, receipt: str, seconds: float) -> None:
        super().change_visibility(receipt, seconds)
        self.changed.set()


class SimWorld:
    """Everything, wired."""

    def __init__(self, seed: int, plan: Plan, hosts: int = 2, parts: Parts | None = None, traced: bool = False) -> None:
        self.parts = parts or Parts()
        self.scheduler = Scheduler(seed, NOW.timestamp())
        self.machinery = Process("world")
        self.processes = [self.machinery]
        self.wire = Wire(self.scheduler, plan, trace=[] if traced else None)
        self.clock = SimClock(self.scheduler)
        self.post = Post()
        self.forged: set[Task] = set()
        self.engine_up_since: dict[str, float] = {}
        self._stores(seed)
        self._queues()
        self.hosts: dict[str, SimHost] = {}
        self._build_hosts(hosts)
        self.auditor = Auditor(self)
        self.wire.after = self.auditor.after
        self._services()

    def _stores(self, seed: int) -> None:
        self.host_rows = MemoryHosts()
        self.records = self.parts.store(self.host_rows)
        self.connection_rows = MemoryConnections()
        self.ids = FakeIds(seed)

    def _queues(self) -> None:
        def queue(dead: FifoQueue | None = None) -> SimQueue:
            made = SimQueue(lambda: self.scheduler.now, VISIBILITY_SECONDS, dead, MAX_RECEIVES)
            made.changed = SimFlag(self.scheduler)
            return made

        self.dead_commands, self.dead_events = queue(), queue()
        self.commands, self.events = queue(self.dead_commands), queue(self.dead_events)

    def _build_hosts(self, count: int) -> None:
        for number in range(1, count + 1):
            name = f"host-{number}"
            self.host_rows.enrol(name, HOST_PUBLIC)
            self.hosts[name] = SimHost(name, self.wire, self.events, self.parts.host)
            self.hosts[name].engine.vetted = lambda container, name=name: self.auditor.removing(name, container)

    def _services(self) -> None:
        wire, clock = self.wire, self.clock
        containers: Any = Table(wire, "containers", self.records)
        host_rows: Any = Table(wire, "hosts", self.host_rows)
        connections: Any = Table(wire, "connections", self.connection_rows)
        command_client, event_client = (
            QueueClient(wire, "commands", self.commands),
            QueueClient(wire, "events", self.events),
        )
        commands, events = commands_to(command_client), events_to(event_client)
        self.sockets = SimSockets(wire, self.auditor.pushed)
        self.agents = SimAgents(wire, self.hosts)
        self.lifecycle = Lifecycle(containers, commands, clock, self.ids, PLENTY)
        self.reconfiguration = Reconfiguration(self.lifecycle, host_rows)
        rates: Any = Table(wire, "rates", MemoryRates())
        pulls = Pulls(rates, clock, per_hour=100)
        self.provisioning = self.parts.provisioning(containers, host_rows, self.agents, events, clock, self.ids, pulls)
        frames = Limiter(Limit("frames", 50, 1, stride=10), rates, clock)
        self.subscriptions = Subscriptions(connections, containers, events, self.sockets, clock, 10, frames)
        fanout = FanOut(connections, self.sockets, clock, self._spread)
        keyring = Keyring(host_rows, CONTROL_PUBLIC)
        inventories = Inventories(containers, commands, clock)
        self.status = self.parts.status(containers, host_rows, keyring, self.subscriptions, fanout, inventories, clock)
        self.leases = Leases(containers, host_rows, events, clock)
        self.sweep = Sweep(containers, commands, events, clock)
        self._redelivery = {"commands": Redelivery(command_client), "events": Redelivery(event_client)}

    def _spread(self, work: Callable[[Connection], None], connections: Sequence[Connection]) -> None:
        """`fanout.Spread` over tasks of the same process."""
        process = self.scheduler.task.process
        tasks = [
            self.scheduler.spawn(process, f"{process.name}/push", lambda each=each: work(each)) for each in connections
        ]
        for task in tasks:
            self.scheduler.join(task)
            if task.error is not None:
                raise task.error

    def begin(self) -> None:
        """Agents start, messages flow, and every minute the sweeper comes."""
        for host in self.hosts.values():
            host.begin()
        self._run("pump commands", lambda: self._pump(self.commands, "provision", self._provision))
        self._run("pump events", lambda: self._pump(self.events, "status", self._status))
        self._run("schedule", self._schedule)
        self._run("init", self._start_agents_again)

    def _run(self, name: str, work: Callable[[], Any]) -> Task:
        """A task of the world itself, which never dies."""
        return self.scheduler.spawn(self.machinery, name, work)

    run = _run

    def invoke(self, name: str, work: Callable[[], Any], seconds: float = FUNCTION_SECONDS) -> Task:
        """One invocation of a function: a process of its own, which is ended when it takes too long."""
        process = Process(name)
        self.processes.append(process)

        def watched() -> Any:
            try:
                return work()
            except (BerthError, ValidationError):
                raise
            except Exception as error:
                self.auditor.find("handlers", f"{name} broke: {error!r}")
                raise

        task = self.scheduler.spawn(process, name, watched)

        def end() -> None:
            if not task.done:
                self.wire.note(f"{name} is out of time")
                self.scheduler.kill(process)

        self.scheduler.call_at(self.scheduler.now + seconds, end)
        return task

    def _start_agents_again(self) -> None:
        """As systemd does."""
        while True:
            self.scheduler.pause(RESTART_SECONDS)
            for host in self.hosts.values():
                if not host.held_down:
                    host.begin()

    def _schedule(self) -> None:
        while True:
            self.scheduler.pause(SWEEP_EVERY)
            self.invoke("sweep", self._sweep, SWEEP_SECONDS)

    def _sweep(self) -> None:
        """As `app.sweep`."""
        if self.parts.sweeps:
            self.sweep.run()
        if self.parts.leases:
            self.leases.run(LEASES_SECONDS)

    def _pump(self, queue: SimQueue, name: str, handle: Callable[[SQSEvent], None]) -> None:
        """An event source mapping: one message, one invocation; success deletes the message."""
        while True:
            queue.changed.clear()
            deliveries = queue.receive()
            for delivery in deliveries:
                self._run(f"{name} esm", lambda delivery=delivery: self._deliver(queue, delivery, name, handle))
            if not deliveries:
                changes = queue.next_change()
                queue.changed.wait(None if changes is None else changes - self.scheduler.now + 0.001)

    def _deliver(self, queue: SimQueue, delivery: Delivery, name: str, handle: Callable[[SQSEvent], None]) -> None:
        event = SQSEvent(_records(delivery), None)
        self.auditor.tally.redelivered += delivery.count > 1
        self.scheduler.pause(self.post.hold())
        again = self.post.twice(delivery)
        if again is not None:
            self.auditor.tally.duplicates += 1
            self._run("second delivery", lambda: self._deliver_again(again, delivery, name, handle))
        task = self.invoke(f"{name} {delivery.message_id}", lambda: handle(event))
        self.scheduler.join(task)
        if task.error is None and not self.post.keep():
            try:
                queue.delete(delivery.receipt)
            except Exception:  # noqa: BLE001 - the receipt is no longer good: the message comes again
                return

    def _deliver_again(self, after: float, delivery: Delivery, name: str, handle: Callable[[SQSEvent], None]) -> None:
        self.scheduler.pause(after)
        self.invoke(f"{name} {delivery.message_id} again", lambda: handle(SQSEvent(_records(delivery), None)))

    def _provision(self, event: SQSEvent) -> None:
        queues.carry_out_commands(event, self.provisioning, self._redelivery["commands"], UNMEASURED)

    def _status(self, event: SQSEvent) -> None:
        queues.record_events(event, self.status, self._redelivery["events"], UNMEASURED)

    def heal(self) -> None:
        """Nothing is wrong any more, but what is dead stays dead."""
        self.post = Post()
        for host in self.hosts.values():
            host.weather.unreachable = host.weather.mute = False
            host.engine.down = False
            host.begin()

    def close(self) -> None:
        """Leave nothing behind."""
        processes = self.processes + [process for host in self.hosts.values() for process in host.processes]
        self.scheduler.end(processes)
        for host in self.hosts.values():
            host.close()


def _records(delivery: Delivery) -> dict[str, Any]:
    record = {
        "messageId": delivery.message_id,
        "receiptHandle": delivery.receipt,
        "body": delivery.body,
        "attributes": {"ApproximateReceiveCount": str(delivery.count), "MessageGroupId": delivery.group},
    }
    return {"Records": [record]}
