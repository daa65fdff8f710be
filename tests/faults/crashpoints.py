"""Crash-point enumeration: each flow once without a fault, to count its calls; then once per call and kind of fault.

After each, everything recovers by itself: dead functions are called again by their queue, dead agents are started
again, clients ask again. When all is quiet every invariant must hold, and the flow must have come to one of its ends.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.statuses import Status
from chalicelib.domain.changes import Changes
from chalicelib.domain.items import frame_body
from chalicelib.domain.specs import spec_of
from infra.hostagent.containers.keeper import CallRefused
from infra.hostagent.profile import profile_of
from tests.builders import a_caller, a_spec
from tests.fakes.engine import FakeEngine
from tests.faults.auditor import Tally, Violation
from tests.faults.clients import Client, Subscriber
from tests.faults.doors import utc
from tests.faults.faults import FAULTS, Fault, NoFaults, OneFault
from tests.faults.host import REMOTE, ended_behind_the_back
from tests.faults.world import Parts, SimWorld

SETUP_SECONDS = 12.0
QUIET_SECONDS = 4.0
LONGEST_SECONDS = 900.0
ORPHAN_LOOK_SECONDS = 60.0

ENDED = (Status.ERROR, Status.DELETED)


class Stage:
    """A world with one user, who follows what happens, and two hosts."""

    def __init__(self, plan: NoFaults, parts: Parts | None, traced: bool) -> None:
        self.world = SimWorld(7, plan, hosts=2, parts=parts, traced=traced)
        self.client = Client(self.world, a_caller(user_id="ann"), random.Random(7))
        self.subscriber = Subscriber(self.client, 1)
        self.container = ""

    def create(self, image: str | None = None) -> None:
        made = self.client.create(name="web", **({"image": image} if image else {}))
        if made is None:
            raise Violation("I1", "the client was never answered")
        self.container = made

    def delete(self) -> None:
        self.client.delete(self.container)

    def power(self, verb: Verb) -> None:
        self.client.power(self.container, verb)

    def host_of(self) -> str:
        record = self.world.auditor.record_of(self.container)
        assert record is not None
        return str(record.host_id)

    @property
    def status(self) -> Status | None:
        record = self.world.auditor.record_of(self.container)
        return record.status if record else None


@dataclass(frozen=True)
class Flow:
    """`before` has no faults; `act` has one; `ends` are the statuses it may come to (None: no record)."""

    name: str
    act: Callable[[Stage], None]
    ends: tuple[Status | None, ...]
    before: Callable[[Stage], None] = lambda _stage: None
    wait: float = SETUP_SECONDS
    """Seconds between `before` and `act`."""
    window: float = 6.0
    """Seconds from the beginning of `act` in which calls meet faults."""


def _connect(stage: Stage) -> None:
    stage.subscriber.connect()


def _running(stage: Stage) -> None:
    stage.create()


def _stopped(stage: Stage) -> None:
    stage.create()
    stage.world.scheduler.pause(5.0)
    stage.power(Verb.STOP)


def _guest(stage: Stage) -> None:
    until = utc(stage.world.scheduler.now + 20.0)
    stage.client.caller = a_caller(user_id="guest", tier="guest", guest=True, until=until)
    stage.create()


def _container_ends(stage: Stage) -> None:
    for host in stage.world.hosts.values():
        for engine_id in list(host.engine.rows):
            ended_behind_the_back(host, engine_id)


def _host_dies(stage: Stage) -> None:
    stage.world.hosts[stage.host_of()].die()


def _stray(stage: Stage) -> None:
    """An engine container of ours that no record and no journal knows (FM 35)."""
    host = stage.world.hosts["host-1"]
    profile = profile_of(a_spec(container_id="11111111-1111-4111-8111-111111111111"), "host-1", "network", 2)
    FakeEngine.create(host.engine, profile)


def _resize(stage: Stage) -> None:
    stage.client.change(stage.container, Changes(memory_mb=512))


def _rename(stage: Stage) -> None:
    stage.client.change(stage.container, Changes(name="another"))


def _restart_told_twice(stage: Stage) -> None:
    """That it stopped is told again when it has long started (FM 39)."""
    stage.world.post.twice = lambda delivery: 3.0 if "stopped" in delivery.body else None
    stage.power(Verb.RESTART)
    stage.world.scheduler.pause(8.0)


def _late_create(stage: Stage) -> None:
    """The creation's call comes once more, when its container has long been deleted."""
    host = stage.world.hosts[stage.host_of()]
    record = stage.world.auditor.record_of(stage.container)
    assert record is not None
    stage.delete()
    while stage.status is not Status.DELETED or host.keeper is None:
        stage.world.scheduler.pause(1.0)
    with contextlib.suppress(CallRefused):
        host.keeper.accept(spec_of(record.model_copy(update={"number": 0}), stage.world.clock.now()))
    stage.world.scheduler.pause(3.0)
    if any(not container.unclaimed for _, container in host.engine.rows.values()):
        raise Violation("I13", "a late call makes what was deleted")


FLOWS = (
    Flow("create", lambda stage: stage.create(), (Status.RUNNING, Status.ERROR)),
    Flow("create with pull", lambda stage: stage.create(REMOTE), (Status.RUNNING, Status.ERROR), window=10.0),
    Flow("delete", lambda stage: stage.delete(), (Status.DELETED,), _running),
    Flow("delete while creating", lambda stage: stage.delete(), (Status.DELETED,), _running, wait=0.05),
    Flow("stop", lambda stage: stage.power(Verb.STOP), (Status.STOPPED,), _running),
    Flow("start", lambda stage: stage.power(Verb.START), (Status.RUNNING,), _stopped),
    Flow("restart", lambda stage: stage.power(Verb.RESTART), (Status.RUNNING,), _running),
    Flow("resize", _resize, (Status.RUNNING,), _running),
    Flow("rename", _rename, (Status.RUNNING,), _running),
    Flow("restart, stop told twice", _restart_told_twice, (Status.RUNNING,), _running, window=2.0),
    Flow("expire", lambda stage: stage.world.scheduler.pause(14.0), (Status.DELETED,), _guest, window=14.0),
    Flow("event apply", _container_ends, (Status.STOPPED,), _running, window=14.0),
    Flow("connect", lambda stage: stage.subscriber.connect(), (Status.RUNNING,), _running, window=2.0),
    Flow("host loss", _host_dies, (Status.STOPPED,), _running, window=90.0),
    Flow("late create", _late_create, (Status.DELETED,), _running, window=3.0),
    Flow("orphan sync", lambda _stage: None, (None,), _stray, wait=50.0, window=40.0),
)


@dataclass
class Case:
    """One run of a flow, with one fault."""

    flow: Flow
    at: int = -1
    kind: Fault = Fault.ERROR
    call: str = ""
    calls: list[str] = field(default_factory=list)
    violation: Violation | None = None
    status: Status | None = None
    healed_after: float = 0.0
    trace: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    orphans: int = 0
    """Engine containers that nothing explained `ORPHAN_LOOK_SECONDS` after the fault (0 if all was quiet before)."""

    def __str__(self) -> str:
        return f"{self.flow.name}: {self.call} (call {self.at}) {self.kind.value}: {self.violation}"


def run_plain(flow: Flow, parts: Parts | None = None, traced: bool = False) -> Case:
    """The flow without a fault; `calls` are those that a fault may befall."""
    plan = NoFaults()
    case = _run(Case(flow, call="no fault"), plan, parts, traced)
    case.calls = plan.calls
    return case


def cases(flow: Flow, parts: Parts | None = None) -> Iterator[Case]:
    """Every call of the flow with every fault, run."""
    plain = run_plain(flow, parts)
    assert plain.violation is None, str(plain)
    for at, call in enumerate(plain.calls):
        for kind in FAULTS if not call.startswith("journal.") else (Fault.DIE_BEFORE, Fault.DIE_AFTER):
            yield run_case(flow, at, kind, call, parts)


def run_case(
    flow: Flow, at: int, kind: Fault, call: str = "", parts: Parts | None = None, traced: bool = False
) -> Case:
    """One case, run."""
    return _run(Case(flow, at, kind, call), OneFault(at=at, kind=kind), parts, traced)


def _run(case: Case, plan: NoFaults, parts: Parts | None, traced: bool = False) -> Case:
    stage = Stage(plan, parts, traced)
    if isinstance(plan, OneFault):
        plan.struck = lambda: _look_later(stage.world, case)
    try:
        case.healed_after = _play(stage, case.flow, plan)
        case.status = stage.status
        if case.status not in case.flow.ends:
            raise Violation("I1", f"{case.flow.name} ended in {case.status}")
    except Violation as violation:
        case.violation = violation
    finally:
        stage.world.close()
        case.trace = stage.world.wire.trace or []
        case.tally = stage.world.auditor.tally
        case.tally.calls = stage.world.wire.calls
    return case


def _look_later(world: SimWorld, case: Case) -> None:
    def look() -> None:
        case.orphans = world.auditor.orphans()

    world.scheduler.call_at(world.scheduler.now + ORPHAN_LOOK_SECONDS, look)


def _play(stage: Stage, flow: Flow, plan: NoFaults) -> float:
    """Set up, act, and let it recover; the seconds that took."""
    world = stage.world
    world.begin()
    _advance(world, world.scheduler.now + 2.0)
    if flow.name != "connect":
        world.run("connect", lambda: _connect(stage))
    before = world.run("before", lambda: flow.before(stage))
    _advance(world, world.scheduler.now + 2.0 + (flow.wait if flow.wait > 1 else 0))
    if flow.wait > 1:
        _done(before)
    plan.armed = True
    act = world.run("act", lambda: flow.act(stage))
    began = world.scheduler.now
    _advance(world, began + flow.window)
    plan.armed = False
    while not act.done or not _quiet(world) or stage.status not in flow.ends or world.auditor.audit():
        if world.scheduler.now - began > LONGEST_SECONDS:
            raise (world.auditor.audit() or [Violation("I19", f"it is never quiet again: {stage.status}")])[0]
        _advance(world, world.scheduler.now + QUIET_SECONDS)
    _done(act)
    took = world.scheduler.now - began
    _ask(stage)
    return took


def _done(task) -> None:  # type: ignore[no-untyped-def]
    if task.error is not None:
        raise task.error
    assert task.done


def _advance(world: SimWorld, until: float) -> None:
    while world.scheduler.now < until:
        world.scheduler.run_until(min(until, world.scheduler.now + 5.0))
        world.auditor.tick()
        world.auditor.check()


def _quiet(world: SimWorld) -> bool:
    """Whether no message about a container is on its way."""
    waiting = [*world.commands.waiting(), *world.events.waiting()]
    return not [message for message in waiting if not message.group.startswith("host-")]


def _ask(stage: Stage) -> None:
    """I9, of the one subscriber."""
    world, subscriber = stage.world, stage.subscriber
    task = world.run("complete", subscriber.complete)
    _advance(world, world.scheduler.now + 2.0)
    _done(task)
    for container_id, held in subscriber.held.items():
        log = {frame.seq: frame_body(frame) for frame in world.records.log.get(container_id, [])}
        if held != log:
            raise Violation("I9", f"subscriber has {sorted(held)} of {container_id}, the log {sorted(log)}")
