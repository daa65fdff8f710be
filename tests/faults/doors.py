"""Every call from shipped code to the outside, as a door: the call comes in, a fault may befall it, an answer goes out.

At each door the scheduler may let others go first, and the caller's process may die before or after the call is done.
A dead process gets nothing done any more: the first thing a door does is to look whether its caller lives.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from chalicelib.adapters.sqs import SqsCommands, SqsEvents
from chalicelib.contract.events import Event
from chalicelib.contract.resources import Resources
from chalicelib.contract.signatures import CONTROL_PLANE, seal
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy, ConnectionGone, ConnectionStuck
from chalicelib.domain.host import Host
from infra.hostagent.journal.intents import Intent, Outgoing, Step
from infra.hostagent.journal.journal import Journal, Telling
from infra.hostagent.journal.outbox import QueueUnavailable
from infra.hostagent.network.namespaces import Holder
from infra.hostagent.ports import EngineContainer, EngineDown, EngineFacts, EngineImage, EngineSignal, Ran
from infra.hostagent.profile import Limits
from tests.builders import NOW
from tests.fakes.engine import FakeEngine
from tests.fakes.fifo import FifoQueue, ReceiptRefused
from tests.fakes.namespaces import FakeNamespaces
from tests.fakes.world import CONTROL_KEY
from tests.faults.faults import Fault, Plan
from tests.faults.scheduler import Killed, Scheduler, SimRuntime

Answer = TypeVar("Answer")

LONG = 5.0
"""How long a caller waits for an answer that does not come."""


@dataclass
class Wire:
    """What all doors share. `after` hears of every call that was done, `trace` (if not None) of every call."""

    scheduler: Scheduler
    plan: Plan
    after: Callable[[str], None] = lambda _call: None
    trace: list[str] | None = None
    calls: int = 0

    def call(
        self,
        name: str,
        act: Callable[[], Answer],
        refuse: Callable[[], Exception],
        lose: Callable[[Callable[[], Answer]], Answer] | None = None,
        about: object = "",
    ) -> Answer:
        """Do one call, or what its fault makes of it. `lose` says what the caller makes of an answer that is lost."""
        scheduler = self.scheduler
        scheduler.check()
        self.calls += 1
        fault = self.plan.fault(name)
        scheduler.pause(self.plan.delay(name))
        if self.trace is not None:
            self.note(f"{name} {brief(about)}", fault)
        if fault is Fault.DIE_BEFORE:
            self.die()
        if fault is Fault.ERROR:
            raise refuse()
        if fault is Fault.THROTTLED:
            scheduler.pause(1.0)
            raise refuse()
        answer = self._done(name, act)
        if fault is Fault.DIE_AFTER:
            self.die()
        if fault is Fault.LOST:
            scheduler.pause(LONG)
            if lose is None:
                raise refuse()
            answer = lose(lambda: self._done(name, act))
        return answer

    def _done(self, name: str, act: Callable[[], Answer]) -> Answer:
        try:
            return act()
        except Exception as error:
            if self.trace is not None:
                self.note(f"    {name}: {type(error).__name__} {error}")
            raise
        finally:
            self.after(name)

    def die(self) -> None:
        """The caller's process ends here."""
        process = self.scheduler.task.process
        self.scheduler.kill(process)
        raise Killed(process.name)

    def note(self, what: str, fault: Fault | None = None) -> None:
        """A line of the trace."""
        if self.trace is not None:
            who = self.scheduler.current.name if self.scheduler.current else "world"
            befell = f"   << {fault.value}" if fault else ""
            self.trace.append(f"{self.scheduler.now - NOW.timestamp():9.3f}  {who:<34} {what}{befell}")


def brief(about: object) -> str:
    """What a call is about, in a few words."""
    if isinstance(about, tuple):
        return " ".join(filter(None, (brief(each) for each in about)))
    if isinstance(about, Container):
        return f"{about.id[-4:]} {about.status.value} v{about.version} seq {about.seq} g{about.generation}"
    if isinstance(about, Host):
        return about.id
    if isinstance(about, str):
        return about[-4:] if _UUID.fullmatch(about) else about
    return ""


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Table:
    """Any store behind a door. A lost answer makes the adapter ask again, and it gets the second answer."""

    def __init__(self, wire: Wire, name: str, store: Any) -> None:
        self._wire = wire
        self._name = name
        self._store = store

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(self._store, verb)

        def through_the_door(*arguments: Any, **named: Any) -> Any:
            return self._wire.call(
                f"{self._name}.{verb}",
                lambda: method(*arguments, **named),
                lambda: Busy("refused"),
                lambda act: act(),
                arguments,
            )

        return through_the_door


class SimClock:
    """`ports.Clock` of the scheduler's time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._scheduler.now - NOW.timestamp())

    def sleep(self, seconds: float) -> None:
        self._scheduler.pause(seconds)


class QueueClient:
    """What the adapters of `chalicelib.adapters.sqs` ask of boto3, on a queue behind a door."""

    def __init__(self, wire: Wire, name: str, queue: FifoQueue) -> None:
        self._wire = wire
        self._name = name
        self._queue = queue

    def send_message(self, **message: str) -> None:
        body, group, identity = (message[part] for part in ("MessageBody", "MessageGroupId", "MessageDeduplicationId"))
        self._wire.call(
            f"{self._name}.send",
            lambda: self._queue.send(body, group, identity),
            lambda: Busy("the queue refused"),
            about=identity,
        )

    def change_message_visibility(self, **change: Any) -> None:
        def act() -> None:
            try:
                self._queue.change_visibility(change["ReceiptHandle"], change["VisibilityTimeout"])
            except ReceiptRefused:
                return

        self._wire.call(f"{self._name}.change_visibility", act, QuietlyLost, lambda act: act())


class QuietlyLost(Exception):
    """Swallowed by the adapter as boto3's errors are."""


class Redelivery:
    """`edge.queues.Redelivery`, as `SqsRedelivery` behaves."""

    def __init__(self, client: QueueClient) -> None:
        self._client = client

    def after(self, receipt_handle: str, seconds: int) -> None:
        try:
            self._client.change_message_visibility(ReceiptHandle=receipt_handle, VisibilityTimeout=seconds)
        except QuietlyLost:
            return


def commands_to(client: QueueClient) -> SqsCommands:
    """The real adapter on a simulated queue."""
    return SqsCommands(client, "")


def events_to(client: QueueClient) -> SqsEvents:
    """The real adapter, sealing with the control plane's key."""
    return SqsEvents(client, "", lambda event: _sealed(event))


def _sealed(event: Event) -> str:
    return seal(event, CONTROL_PLANE, CONTROL_KEY)


class SimSink:
    """`outbox.EventSink`: an agent's way to the queue of events; `cut` while the agent is cut off."""

    def __init__(self, wire: Wire, queue: FifoQueue, cut: Callable[[], bool]) -> None:
        self._wire = wire
        self._queue = queue
        self._cut = cut

    def send(self, body: str, group: str, identity: str) -> None:
        def act() -> None:
            if self._cut():
                self._wire.scheduler.pause(LONG)
                raise QueueUnavailable("cut off")
            self._queue.send(body, group, identity)

        about = (identity, body[30:90])
        self._wire.call("outbox.send", act, lambda: QueueUnavailable("refused"), about=about)


class SimJournal(Journal):
    """The real journal, on a database that outlives its process; the process may die before and after each write."""

    def __init__(self, wire: Wire, database: Any, runtime: SimRuntime) -> None:
        super().__init__(database, runtime)
        self._wire = wire

    def accept(self, intent: Intent) -> None:
        self._write(f"accept {intent.container_id[-4:]} {intent.step}", lambda: super(SimJournal, self).accept(intent))

    def advance(self, intent: Intent, tellings: Any, *, expected: Any) -> Intent | None:
        tellings: list[Telling] = list(tellings)
        steps: list[Step] = list(expected)
        return self._write(
            f"advance {intent.container_id[-4:]} {intent.step}",
            lambda: super(SimJournal, self).advance(intent, tellings, expected=steps),
        )

    def take(self, intent: Intent, *, expected: Any) -> None:
        steps: list[Step] = list(expected)
        self._write(
            f"take {intent.container_id[-4:]} {intent.step}",
            lambda: super(SimJournal, self).take(intent, expected=steps),
        )

    def grant(self, intent: Intent, resources: Resources, telling: Telling) -> None:
        self._write(
            f"grant {intent.container_id[-4:]}", lambda: super(SimJournal, self).grant(intent, resources, telling)
        )

    def count_on(self, container_id: str, generation: int, number: int) -> None:
        self._write(
            f"count on {container_id[-4:]} {number}",
            lambda: super(SimJournal, self).count_on(container_id, generation, number),
        )

    def sent(self, outgoing: Sequence[Outgoing]) -> None:
        self._write("sent", lambda: super(SimJournal, self).sent(outgoing))

    def _write(self, verb: str, act: Callable[[], Answer]) -> Answer:
        """A disk does not lose answers or throttle: whatever is ordered but death is a slow write."""
        wire = self._wire
        wire.scheduler.check()
        wire.calls += 1
        fault = wire.plan.fault(f"journal.{verb}")
        wire.scheduler.pause(wire.plan.delay("journal") / 4)
        wire.note(f"journal.{verb}", fault)
        if fault is Fault.DIE_BEFORE:
            wire.die()
        answer = act()
        if fault is Fault.DIE_AFTER:
            wire.die()
        return answer


@dataclass
class SimEngine(FakeEngine):
    """The engine in memory behind a door, on the simulation's clock; `vetted` is asked before anything is removed."""

    wire: Wire = field(kw_only=True)
    vetted: Callable[[EngineContainer], None] = lambda _container: None

    def _through(self, name: str, act: Callable[[], Answer]) -> Answer:
        return self.wire.call(f"engine.{name}", act, lambda: EngineDown(name))

    def facts(self) -> EngineFacts:
        return self._through("facts", super().facts)

    def images(self) -> list[str]:
        return sorted(self.present)

    def image(self, reference: str) -> EngineImage | None:
        return self._through("image", lambda: super(SimEngine, self).image(reference))

    def create(self, profile: Any) -> str:
        return self._through("create", lambda: super(SimEngine, self).create(profile))

    def rename(self, engine_id: str, name: str) -> None:
        self._through("rename", lambda: super(SimEngine, self).rename(engine_id, name))

    def discard(self, name: str) -> None:
        def act() -> None:
            for profile, container in self.rows.values():
                if profile.name == name and not self.down and not container.blank:
                    self.vetted(container)
            super(SimEngine, self).discard(name)

        self._through("discard", act)

    def start(self, engine_id: str) -> None:
        self._through("start", lambda: super(SimEngine, self).start(engine_id))

    def stop(self, engine_id: str, seconds: int) -> None:
        self._through("stop", lambda: super(SimEngine, self).stop(engine_id, seconds))

    def resize(self, engine_id: str, limits: Limits) -> None:
        self._through("resize", lambda: super(SimEngine, self).resize(engine_id, limits))

    def run(
        self, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
    ) -> Ran:
        return self._through("run", lambda: super(SimEngine, self).run(engine_id, command, user, environment, seconds))

    def find(self, name: str) -> EngineContainer | None:
        return self._through("find", lambda: super(SimEngine, self).find(name))

    def of_host(self, host_id: str) -> list[EngineContainer]:
        return self._through("of_host", lambda: super(SimEngine, self).of_host(host_id))

    def remove(self, engine_id: str) -> None:
        def act() -> None:
            row = self.rows.get(engine_id)
            if row is not None and not self.down:
                self.vetted(row[1])
            super(SimEngine, self).remove(engine_id)

        self._through("remove", act)

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        return iter(())


NETWORKS_READY = 2
"""Holders that each host keeps ready."""
WARM_MEMORY_MB = 96
"""What each host may use for containers started ahead."""


@dataclass
class SimNamespaces(FakeNamespaces):
    """The namespaces of an engine in memory behind the same door."""

    wire: Wire = field(kw_only=True)

    def _through(self, name: str, act: Callable[[], Answer]) -> Answer:
        return self.wire.call(f"namespaces.{name}", act, lambda: EngineDown(name))

    def make(self) -> str:
        return self._through("make", super().make)

    def all(self) -> list[Holder]:
        return self._through("all", super().all)

    def mend(self, holder: str) -> None:
        self._through("mend", lambda: super(SimNamespaces, self).mend(holder))

    def remove(self, holder: str) -> None:
        self._through("remove", lambda: super(SimNamespaces, self).remove(holder))

    def name(self, engine_id: str, hostname: str) -> None:
        self._through("name", lambda: super(SimNamespaces, self).name(engine_id, hostname))


class SimSockets:
    """`ports.Sockets`: frames to connections that are open, in order; every frame is shown to `pushed` first."""

    def __init__(self, wire: Wire, pushed: Callable[[str, str], None]) -> None:
        self._wire = wire
        self._pushed = pushed
        self.open: dict[str, Callable[[str], None]] = {}
        """What each open connection does with a frame."""

    def send(self, connection_id: str, text: str) -> None:
        def act() -> None:
            if connection_id not in self.open:
                raise ConnectionGone(connection_id)
            self._wire.note(f"    {text[:100]}")
            self._pushed(connection_id, text)
            self.open[connection_id](text)

        self._wire.call("sockets.send", act, lambda: ConnectionStuck(connection_id))

    def close(self, connection_id: str) -> None:
        self._wire.call("sockets.close", lambda: self.open.pop(connection_id, None), lambda: Busy("refused"))


def utc(seconds: float) -> datetime:
    """A moment of the simulation."""
    return datetime.fromtimestamp(seconds, UTC)
