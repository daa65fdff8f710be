"""The agent as a whole: settings come in, a running keeper with its watchers and heart goes out."""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
from starlette.applications import Starlette

from chalicelib.contract.events import Heartbeat, Inventory
from chalicelib.contract.signatures import BadSignature
from infra.hostagent.commands.execs import Execs
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.files import ContainerFiles, Files
from infra.hostagent.containers.keeper import Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.engine.default_runtime import default_runtime
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_images import DockerImages
from infra.hostagent.engine.docker_meters import DockerMeters
from infra.hostagent.engine.docker_namespaces import DockerNamespaces
from infra.hostagent.guard import ControlKey, Guard
from infra.hostagent.http import application
from infra.hostagent.images.building import Building, BuildPlace
from infra.hostagent.images.builds import Builds
from infra.hostagent.images.collection import Collection
from infra.hostagent.images.prepared import PreparedImages
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.outbox import Outbox, QueueUnavailable, SqsSink
from infra.hostagent.keys import host_key
from infra.hostagent.network.networks import Networks, PreparedNetworks
from infra.hostagent.network.nft import NoFirewall
from infra.hostagent.network.walls import Walls
from infra.hostagent.ports import EngineError, EngineFacts
from infra.hostagent.quotas.disk import disk_of
from infra.hostagent.registry.credentials import BadCredentials
from infra.hostagent.registry.leftovers import temporary
from infra.hostagent.registry.setup import guarded_source
from infra.hostagent.registry.source import GuardedSource
from infra.hostagent.report import Offer, below_floor, disk_room_mb
from infra.hostagent.runtime import ThreadRuntime
from infra.hostagent.settings import Settings
from infra.hostagent.terminals.terminals import Terminals
from infra.hostagent.usage.measuring import Measuring
from infra.hostagent.warm.pool import BLANK_MB, IMAGES, NoPool, Pool, PoolPlace, WarmPool

log = logging.getLogger("berth.agent")

PARALLEL_PULLS = 3
PARALLEL_BUILDS = 2
CONTAINERS = "containers"
"""The folder of the agent's data with a folder of files for each container."""
EXECS = "execs"
"""The folder with the ids of commands that run."""
TICK_SECONDS = 0.5
COLLECT_SECONDS = 60.0
"""Between two looks at how full the engine's disk is."""
LEASE_SECONDS = 60.0
"""After a silence this long the control plane takes a host for lost."""


class CannotStart(Exception):
    """The agent refuses to run here; the text is one line that says what to do."""


class Agent:
    """Everything of one host, wired together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closed = threading.Event()
        self._engine = DockerEngine(settings.engine, settings.pull_seconds)
        self._control_key = _control_key(settings)
        facts = _facts(self._engine, settings)
        self._engine.runtime = _default_runtime(facts, settings)
        self._disk = disk_of(self._engine, facts, settings.engine_root)
        self._data_root = settings.engine_root / facts.data_root.lstrip("/")
        room = disk_room_mb(self._data_root) * settings.disk_overcommit
        self._offer = Offer(
            settings.endpoint, facts, room, settings.development, self._disk.enforced, settings.warm_memory_mb
        )
        self._walls = _walls(self._engine, settings)
        self._runtime = ThreadRuntime()
        self._journal = Journal(settings.data / "journal.sqlite", self._runtime)
        session: Any = boto3
        sink = SqsSink(session.client("sqs"), settings.events_queue_url)
        self._outbox = Outbox(self._journal, sink, settings.host_id, host_key(settings.data))
        self._source = _source(self._engine, settings, facts)
        self.keeper = self._keeper(facts.cores)
        self._execs = Execs(self._engine, self._journal, settings.data / EXECS)
        self._images: list[str] = []
        self._beaten = ""
        self._heard_at = time.monotonic()

    def _keeper(self, cores: int) -> Keeper:
        pulls = Pulls(self._engine, PARALLEL_PULLS, self._settings.pull_seconds, self._source)
        settings = self._settings
        place = Place(
            settings.host_id,
            settings.network,
            cores,
            settings.engine_patience_seconds,
            held_network=self._walls.held_network,
            resolver=self._walls.resolver,
        )
        files = ContainerFiles(settings.data / CONTAINERS, self._walls.resolver_inside)
        namespaces = DockerNamespaces(
            settings.engine, settings.host_id, settings.network, self._walls.resolver, self._engine.runtime
        )
        networks = PreparedNetworks(namespaces, self._runtime, settings.networks_ready)
        means = Means(
            self._engine,
            self._journal,
            self._runtime,
            self._outbox.wake,
            files,
            self._disk,
            networks=networks,
            egress=self._walls.egress,
            pool=self._pool(files, networks, cores),
        )
        policy = Policy(
            settings.host_id,
            self._offer.max_containers,
            settings.draining,
            settings.grace_seconds,
            settings.inventory_seconds,
        )
        return Keeper(means, Creation(means, self._prepared(pulls, cores), place), policy)

    def _pool(self, files: Files, networks: Networks, cores: int) -> Pool:
        settings = self._settings
        if settings.warm_memory_mb < BLANK_MB:
            return NoPool()
        images = settings.warm_images or IMAGES
        place = PoolPlace(settings.host_id, settings.network, cores, settings.warm_memory_mb, images)
        return WarmPool(self._engine, files, self._disk, networks, self._runtime, place)

    def _prepared(self, pulls: Pulls, cores: int) -> PreparedImages:
        settings, store = self._settings, DockerImages(self._settings.engine)
        place = BuildPlace(settings.host_id, settings.network, cores, self._walls.resolver)
        self._building = Building(self._engine, store, place, settings.sources, self._disk)
        self._builds = Builds(self._building, PARALLEL_BUILDS)
        self._collection = Collection(store, self._runtime, self._disk_share)
        return PreparedImages(pulls, store, self._builds, self._collection.used)

    def _disk_share(self) -> float:
        """How full the engine's disk is; empty where it is not to be seen from here."""
        if not self._data_root.is_dir():
            return 0.0
        usage = shutil.disk_usage(self._data_root)
        return usage.used / usage.total

    def application(self) -> Starlette:
        """The HTTP interface."""
        guard = Guard(self._settings.host_id, self._control_key)
        terminals = Terminals(self._execs, self._settings.terminal_grace_seconds)
        measuring = Measuring(self._journal, DockerMeters(self._settings.engine), self._disk)
        return application(self.keeper, guard, self._execs, terminals, measuring)

    def start(self) -> None:
        """Take up what was left, and begin to watch and to report."""
        self._outbox.start()
        self._walls.start()
        self._sweep_builds()
        self.keeper.relist.look()
        self.keeper.tell_again()
        self.keeper.resume()
        for work in (self._watch_time, self._watch_containers, self._watch_engine, self._watch_images):
            threading.Thread(target=self._guarded, args=(work,), daemon=True, name=work.__name__).start()

    def stop(self) -> None:
        """Begin nothing more; leave containers running, or nothing at all with `remove_on_stop`."""
        self._closed.set()
        self._execs.close()
        self.keeper.close()
        self._builds.close()
        self._sweep_builds()
        if self._settings.remove_on_stop:
            try:
                self.keeper.remove_all()
            except EngineError:
                log.warning("containers could not be removed", extra={"host": self._settings.host_id})
        self._walls.close(remove=self._settings.remove_on_stop)
        self._outbox.close(seconds=2.0)
        self._journal.close()

    def _sweep_builds(self) -> None:
        """What was being built by a process that is no more, or that ends now."""
        try:
            self._building.sweep()
        except EngineError:
            log.warning("builds could not be removed", extra={"host": self._settings.host_id})

    def _guarded(self, work: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                work()
            except Exception:
                if not self._closed.is_set():
                    log.exception("watcher broke and begins again", extra={"watcher": work.__name__})
            self._closed.wait(1.0)

    def _watch_time(self) -> None:
        """Expiries and heartbeats, each when it is time; nothing here waits for the engine, which may hang."""
        beaten = 0.0
        while not self._closed.wait(TICK_SECONDS):
            self.keeper.expire()
            now = time.monotonic()
            if now - beaten >= self._settings.heartbeat_seconds or self._changed():
                beaten = now
                self._beat()

    def _watch_containers(self) -> None:
        """Looks at the engine; the rest only while it answers."""
        looked = 0.0
        while not self._closed.wait(TICK_SECONDS):
            now = time.monotonic()
            if now - looked >= self._settings.look_seconds:
                looked = now
                self.keeper.relist.look()
                if self.keeper.relist.engine_up:
                    self._walls.mend()
                    self._disk.sweep()
                    self._execs.sweep()
                    self._see_images()
            if self.keeper.relist.engine_up:
                self._take_stock()

    def _watch_images(self) -> None:
        """By a thread of its own: a large image takes its time to go."""
        while not self._closed.wait(COLLECT_SECONDS):
            self._collection.collect()

    def _take_stock(self) -> None:
        """Inventories go past the journal: only the newest matters."""
        try:
            self.keeper.inventories.tell(self._send_inventory)
        except (EngineError, QueueUnavailable) as error:
            log.warning("inventory waits", extra={"host": self._settings.host_id, "reason": type(error).__name__})

    def _send_inventory(self, inventory: Inventory) -> None:
        host_id = inventory.host_id
        self._outbox.send_now(inventory, f"host-{host_id}", f"inventory:{host_id}:{time.time_ns()}")

    def _see_images(self) -> None:
        """What heartbeats tell of; names of pulls under way are nobody's business, and those of broken ones go."""
        with contextlib.suppress(EngineError):
            names = self._engine.images()
            self._images = [name for name in names if not temporary(name)]
            if self._source is not None:
                self._source.sweep(names)

    def _state(self) -> str:
        return f"{self.keeper.relist.engine_up} {self._images}"

    def _changed(self) -> bool:
        return self._state() != self._beaten

    def _beat(self) -> None:
        self._beaten = self._state()
        report = self._offer.report(
            self._images,
            engine_up=self.keeper.relist.engine_up,
            draining=self._settings.draining,
            containers=self.keeper.count(),
        )
        host_id = self._settings.host_id
        try:
            # A group of its own: a beat whose function dies holds up no later one until it is visible again.
            identity = f"heartbeat:{host_id}:{time.time_ns()}"
            self._outbox.send_now(Heartbeat(host_id=host_id, report=report), identity, identity)
            self._heard_at = self._back_after(self._heard_at)
        except QueueUnavailable as error:
            log.warning("heartbeat not sent", extra={"host": host_id, "reason": str(error)})

    def _back_after(self, heard_at: float) -> float:
        """The time now; after a silence as long as a lease, what runs is told again."""
        now = time.monotonic()
        if now - heard_at > LEASE_SECONDS:
            self.keeper.tell_again()
            self.keeper.inventories.hurry()
        return now

    def _watch_engine(self) -> None:
        """The engine's own words, for speed; the truth comes from looking."""
        try:
            for signal in self._engine.signals(self._settings.host_id):
                self.keeper.relist.heard(signal.action, signal.container_id, signal.at)
        except EngineError:
            self.keeper.relist.look()


def _walls(engine: DockerEngine, settings: Settings) -> Walls:
    try:
        return Walls(engine, settings)
    except NoFirewall as error:
        raise CannotStart(f"containers cannot be walled in: {error}") from error


def _source(engine: DockerEngine, settings: Settings, facts: EngineFacts) -> GuardedSource | None:
    """Where pulls come from; None for the engine by itself."""
    if settings.registries.direct:
        if not settings.development:
            raise CannotStart("--direct-pulls looks at nothing that is pulled: leave it out, or say --dev as well")
        return None
    try:
        root = settings.engine_root / facts.data_root.lstrip("/")
        return guarded_source(engine, settings.registries, settings.engine_netns, root)
    except BadCredentials as error:
        raise CannotStart(str(error)) from None


def _facts(engine: DockerEngine, settings: Settings) -> EngineFacts:
    try:
        facts = engine.facts()
    except EngineError as error:
        raise CannotStart(f"no Docker engine answers at {settings.engine}: start it, or give --engine") from error
    if below_floor(facts.version) and not settings.development:
        raise CannotStart(f"Docker Engine {facts.version} has known holes: update it, or say --dev on a test machine")
    return facts


def _control_key(settings: Settings) -> ControlKey:
    key = ControlKey(settings.control_key)
    try:
        key()
    except (OSError, BadSignature) as error:
        raise CannotStart(f"no key of the control plane in {settings.control_key}: {error}") from error
    return key


def _default_runtime(facts: EngineFacts, settings: Settings) -> str | None:
    try:
        return default_runtime(settings.engine, settings.host_id, facts.runtimes, settings.default_runtime)
    except EngineError as error:
        raise CannotStart(f"no runtime for containers: {error}") from error
