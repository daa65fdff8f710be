"""A simulated Docker host: the agent's real core over an engine in memory; calls come in, signed events go out.

The engine and the journal outlive the agent's process; a host that dies takes everything with it for good.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chalicelib.contract.agent_api import ContainerSpec, Holdings, HostReport, PowerCall, Removal, ResizeCall
from chalicelib.contract.events import Heartbeat, Inventory
from chalicelib.domain.errors import AgentRefused, AgentUnreachable
from chalicelib.domain.host import Host
from infra.hostagent.containers.creation import Creation, Place, Tell
from infra.hostagent.containers.keeper import CallRefused, Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.failures import TimedOut
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.outbox import Outbox, QueueUnavailable
from infra.hostagent.network.networks import PreparedNetworks
from infra.hostagent.ports import EngineDown, EngineError, EngineRefused
from infra.hostagent.warm.pool import PoolPlace, WarmPool
from tests.builders import a_report
from tests.fakes.disk import MemoryDisk
from tests.fakes.fifo import FifoQueue
from tests.fakes.files import MemoryFiles
from tests.fakes.world import HOST_KEY
from tests.faults.doors import LONG, NETWORKS_READY, WARM_MEMORY_MB, SimEngine, SimJournal, SimNamespaces, SimSink, Wire
from tests.faults.scheduler import Process, SimFlag, SimRuntime

PRESENT, REMOTE, NOWHERE = "debian:bookworm", "alpine:3.22", "nobody/nothing:1"
BEAT_SECONDS, LOOK_SECONDS, TICK_SECONDS = 10.0, 10.0, 2.0
LEASE_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
GRACE_SECONDS = 60.0


@dataclass
class Weather:
    """What is wrong round a host at the moment."""

    unreachable: bool = False
    """No call from the control plane arrives."""
    mute: bool = False
    """Nothing reaches the queue of events."""
    dead: bool = False


class SimImages:
    """`creation.Images`: what is not on the host takes two seconds to pull, or is nowhere."""

    def __init__(self, engine: SimEngine, runtime: SimRuntime, wire: Wire) -> None:
        self._engine = engine
        self._runtime = runtime
        self._wire = wire

    def find(self, spec: ContainerSpec) -> str | None:
        found = self._engine.image(spec.image)
        return found.id if found else None

    def wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        image = spec.image
        for percent in (25, 60):
            self._wire.call("engine.pull", self._pull(image, percent), lambda: EngineDown("pull"))
            check()
            if self._runtime.monotonic() > deadline:
                raise TimedOut
            tell(percent, f"pulling {image}")
        return image

    def _pull(self, image: str, percent: int) -> Callable[[], None]:
        def act() -> None:
            if self._engine.down:
                raise EngineDown("pull")
            if image not in self._engine.remote:
                raise EngineRefused(f"manifest for {image} not found: manifest unknown")
            self._wire.scheduler.pause(1.0)
            if percent == 60:
                self._engine.present.add(image)

        return act


@dataclass
class Parts:
    """How an agent is built; an ablation gives others."""

    keeper: Callable[[Means, Creation, Policy], Keeper] = Keeper
    engine: type[SimEngine] = SimEngine
    journal: type[SimJournal] = SimJournal


@dataclass
class SimHost:
    """One host; `begin` starts an agent's process over what is there."""

    id: str
    wire: Wire
    events: FifoQueue
    parts: Parts = field(default_factory=Parts)
    weather: Weather = field(default_factory=Weather)
    max_containers: int = 100

    def __post_init__(self) -> None:
        scheduler = self.wire.scheduler
        self.engine = self.parts.engine(
            present={PRESENT}, remote={PRESENT, REMOTE}, now=lambda: scheduler.now, wire=self.wire
        )
        self.namespaces = SimNamespaces(self.engine, wire=self.wire)
        self.files = MemoryFiles()
        self.disk = MemoryDisk()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self.process = Process(f"{self.id}.0", alive=False)
        self.processes: list[Process] = []
        self.keeper: Keeper | None = None
        self.up_since = 0.0
        self.forgetful = False
        self.held_down = False
        """While true, nobody starts the agent again but the weather that ended it."""

    @property
    def up(self) -> bool:
        """Whether an agent runs here."""
        return self.process.alive and not self.weather.dead

    def begin(self, draining: bool = False) -> None:
        """Start an agent's process: it takes up what the last one left, then watches and reports."""
        if self.weather.dead or self.process.alive:
            return
        scheduler = self.wire.scheduler
        self.held_down = False
        self.process = Process(f"{self.id}.{len(self.processes) + 1}")
        self.processes.append(self.process)
        self.up_since = scheduler.now
        runtime = SimRuntime(scheduler, self.process)
        agent = SimAgent(self, runtime, draining)
        self.keeper = None
        scheduler.spawn(self.process, f"{self.process.name}/start", lambda: agent.start(self))

    def kill(self, *, held_down: bool = False) -> None:
        """The agent's process dies."""
        self.held_down = held_down
        self.wire.scheduler.kill(self.process)
        self.keeper = None

    def lose_journal(self) -> None:
        """The agent's disk is replaced. What vanishes before it is taken over, nobody will know of."""
        self.forgetful = True
        self.kill()
        self.files.rows.clear()
        self._database.close()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)

    def die(self) -> None:
        """The machine is gone for good, with all that ran on it."""
        self.weather.dead = True
        self.kill()
        self.engine.rows.clear()
        self.engine.holders.clear()
        self.files.rows.clear()

    def close(self) -> None:
        self._database.close()

    def journal(self, runtime: SimRuntime) -> SimJournal:
        """The journal as a process opens it."""
        return self.parts.journal(self.wire, self._database, runtime)

    def peek(self) -> Journal:
        """The journal for the auditor: no doors."""
        return Journal(self._database, SimRuntime(self.wire.scheduler, self.process))


class SimAgent:
    """One process of an agent: what `infra.hostagent.agent.Agent` does, in tasks."""

    def __init__(self, host: SimHost, runtime: SimRuntime, draining: bool) -> None:
        self._host = host
        self._runtime = runtime
        self._draining = draining
        self._scheduler = host.wire.scheduler
        self._woken = SimFlag(self._scheduler)
        journal = host.journal(runtime)
        sink = SimSink(host.wire, host.events, lambda: host.weather.mute)
        self._outbox = Outbox(journal, sink, host.id, HOST_KEY)
        networks = PreparedNetworks(host.namespaces, runtime, NETWORKS_READY)
        place = PoolPlace(host.id, "network", 2, WARM_MEMORY_MB, popular=1)
        pool = WarmPool(host.engine, host.files, host.disk, networks, runtime, place)
        means = Means(host.engine, journal, runtime, self._woken.set, host.files, host.disk, networks, pool=pool)
        creation = Creation(means, SimImages(host.engine, runtime, host.wire), self._place())
        policy = Policy(host.id, host.max_containers, draining, GRACE_SECONDS)
        self.keeper = host.parts.keeper(means, creation, policy)
        self._heard_at = self._scheduler.now

    def _place(self) -> Place:
        return Place(self._host.id, "network", 2, PATIENCE_SECONDS)

    def start(self, host: SimHost) -> None:
        """As `Agent.start`."""
        self.keeper.relist.look()
        self.keeper.tell_again()
        self.keeper.resume()
        host.keeper = self.keeper
        for work in (self._send, self._watch):
            self._scheduler.spawn(host.process, f"{host.process.name}/{work.__name__[1:]}", work)

    def _send(self) -> None:
        """As `Outbox._run`."""
        pause = 0.1
        while True:
            self._woken.wait(5.0)
            self._woken.clear()
            if self._outbox.send_waiting():
                pause = 0.1
            else:
                self._scheduler.pause(pause)
                pause = min(pause * 2, 10.0)
                self._woken.set()

    def _watch(self) -> None:
        """As `Agent._watch_time`."""
        looked = beaten = 0.0
        while True:
            self.keeper.expire()
            now = self._scheduler.now
            if now - looked >= LOOK_SECONDS:
                looked = now
                self.keeper.relist.look()
            if now - beaten >= BEAT_SECONDS:
                beaten = now
                self._beat()
            self._take_stock()
            self._scheduler.pause(TICK_SECONDS)

    def _beat(self) -> None:
        """As `Agent._beat`."""
        host_id = self._host.id
        try:
            identity = f"heartbeat:{host_id}:{self._scheduler.now:.6f}"
            self._outbox.send_now(Heartbeat(host_id=host_id, report=self._report()), identity, identity)
        except QueueUnavailable:
            return
        heard, self._heard_at = self._heard_at, self._scheduler.now
        if self._heard_at - heard > LEASE_SECONDS:
            self.keeper.tell_again()
            self.keeper.inventories.hurry()

    def _take_stock(self) -> None:
        """As `Agent._take_stock`."""
        try:
            self.keeper.inventories.tell(self._send_inventory)
        except (QueueUnavailable, EngineError):
            return

    def _send_inventory(self, inventory: Inventory) -> None:
        identity = f"inventory:{inventory.host_id}:{self._scheduler.now:.6f}"
        self._outbox.send_now(inventory, f"host-{inventory.host_id}", identity)

    def _report(self) -> HostReport:
        return a_report(
            images=sorted(self._host.engine.present),
            max_containers=self._host.max_containers,
            engine_up=self.keeper.relist.engine_up,
            draining=self._draining,
            containers=self.keeper.count(),
        )


class SimAgents:
    """`ports.Agents`: a call is a task of the agent's process, if it arrives; late calls arrive when nobody waits."""

    def __init__(self, wire: Wire, hosts: dict[str, SimHost]) -> None:
        self._wire = wire
        self._hosts = hosts
        self.late: Callable[[], float | None] = lambda: None
        """Seconds after which a call arrives once more, if it does."""

    def create(self, host: Host, spec: ContainerSpec) -> None:
        self._call("create", host, spec.container_id, lambda keeper: keeper.accept(spec))

    def delete(self, host: Host, removal: Removal) -> None:
        self._call("delete", host, removal.container_id, lambda keeper: keeper.remove(removal))

    def power(self, host: Host, call: PowerCall) -> None:
        self._call("power", host, call.container_id, lambda keeper: keeper.power(call))

    def resize(self, host: Host, call: ResizeCall) -> None:
        self._call("resize", host, call.container_id, lambda keeper: keeper.resize(call))

    def holdings(self, host: Host) -> Holdings:
        raise AgentUnreachable("nobody asks")

    def _call(self, verb: str, host: Host, container_id: str, work: Callable[[Keeper], None]) -> None:
        self._wire.call(
            f"agent.{verb}",
            lambda: self._deliver(self._hosts[host.id], verb, work),
            lambda: AgentUnreachable(host.id),
            about=(host.id, container_id),
        )

    def _deliver(self, host: SimHost, verb: str, work: Callable[[Keeper], None]) -> None:
        scheduler = self._wire.scheduler
        late = self.late()
        if late is not None:
            scheduler.call_at(scheduler.now + late, lambda: self._arrive_late(host, verb, work))
        if host.weather.unreachable:
            scheduler.pause(LONG)
            raise AgentUnreachable("no route")
        keeper = host.keeper
        if not host.up or keeper is None:
            raise AgentUnreachable("connection refused")
        task = scheduler.spawn(host.process, f"{host.process.name}/{verb}", lambda: work(keeper))
        if not scheduler.join(task, LONG):
            raise AgentUnreachable("no answer in time")
        if isinstance(task.error, CallRefused):
            raise AgentRefused(task.error.code)
        if task.error is not None:
            raise AgentUnreachable("the agent broke")

    def _arrive_late(self, host: SimHost, verb: str, work: Callable[[Keeper], None]) -> None:
        keeper = host.keeper
        if host.up and keeper is not None:
            self._wire.note(f"agent.{verb} arrives late at {host.id}")
            self._wire.scheduler.spawn(host.process, f"{host.process.name}/late {verb}", lambda: work(keeper))


def gone_behind_the_back(host: SimHost, engine_id: str) -> None:
    """Somebody removes a container with the engine's own command."""
    host.engine.rows.pop(engine_id, None)


def ended_behind_the_back(host: SimHost, engine_id: str, exit_code: int = 1) -> None:
    """A container's main process ends."""
    if engine_id in host.engine.rows:
        profile, container = host.engine.rows[engine_id]
        host.engine.rows[engine_id] = (profile, replace(container, running=False, exit_code=exit_code, attachment=None))
