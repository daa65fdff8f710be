"""The agent as a whole: settings come in, a running keeper with its watchers and heart goes out."""

import logging
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import boto3
from starlette.applications import Starlette

from chalicelib.contract.events import Heartbeat, Inventory
from infra.hostagent.creation import Creation, Place
from infra.hostagent.docker_engine import DockerEngine
from infra.hostagent.files import ContainerFiles
from infra.hostagent.firewall import Firewall, NoFirewall, resolvers_of
from infra.hostagent.http import Guard, application
from infra.hostagent.journal import Journal
from infra.hostagent.keeper import Keeper, Policy
from infra.hostagent.keys import host_key
from infra.hostagent.means import Means
from infra.hostagent.outbox import Outbox, QueueUnavailable, SqsSink
from infra.hostagent.ports import EngineError, EngineFacts
from infra.hostagent.pulls import Pulls
from infra.hostagent.report import Offer, below_floor, disk_room_mb
from infra.hostagent.runtime import ThreadRuntime
from infra.hostagent.settings import Settings

log = logging.getLogger("berth.agent")

PARALLEL_PULLS = 3
CONTAINERS = "containers"
"""The folder of the agent's data with a folder of files for each container."""
TICK_SECONDS = 0.5
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
        facts = _facts(self._engine, settings)
        self._offer = Offer(settings.endpoint, facts, disk_room_mb(facts.data_root), settings.development)
        self._firewall = Firewall(
            bridge_of(settings.host_id), settings.engine_netns, resolvers_of(settings.resolv_conf)
        )
        self._engine.ensure_network(settings.network, bridge_of(settings.host_id))
        self._walls()
        self._runtime = ThreadRuntime()
        self._journal = Journal(settings.data / "journal.sqlite", self._runtime)
        session: Any = boto3
        sink = SqsSink(session.client("sqs"), settings.events_queue_url)
        self._outbox = Outbox(self._journal, sink, settings.host_id, host_key(settings.data))
        self.keeper = self._keeper(facts.cores)
        self._images: list[str] = []
        self._beaten = ""
        self._heard_at = time.monotonic()

    def _keeper(self, cores: int) -> Keeper:
        pulls = Pulls(self._engine, PARALLEL_PULLS, self._settings.pull_seconds)
        settings = self._settings
        place = Place(settings.host_id, settings.network, cores, settings.engine_patience_seconds)
        files = ContainerFiles(settings.data / CONTAINERS)
        means = Means(self._engine, self._journal, self._runtime, self._outbox.wake, files)
        policy = Policy(
            settings.host_id,
            self._offer.max_containers,
            settings.draining,
            settings.grace_seconds,
            settings.inventory_seconds,
        )
        return Keeper(means, Creation(means, pulls, place), policy)

    def application(self) -> Starlette:
        """The HTTP interface."""
        guard = Guard(self._settings.host_id, self._settings.control_key)
        return application(self.keeper, self._journal, guard)

    def start(self) -> None:
        """Take up what was left, and begin to watch and to report."""
        self._outbox.start()
        self.keeper.relist.look()
        self.keeper.tell_again()
        self.keeper.resume()
        for work in (self._watch_time, self._watch_containers, self._watch_engine):
            threading.Thread(target=self._guarded, args=(work,), daemon=True, name=work.__name__).start()

    def stop(self) -> None:
        """Begin nothing more; leave containers running, or nothing at all with `remove_on_stop`."""
        self._closed.set()
        self.keeper.close()
        if self._settings.remove_on_stop:
            try:
                self.keeper.remove_all()
                self._engine.drop_network(self._settings.network)
            except EngineError:
                log.warning("containers could not be removed", extra={"host": self._settings.host_id})
            self._firewall.remove()
        self._outbox.close(seconds=2.0)
        self._journal.close()

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
                    self._mend()
                    self._images = self._images_now()
            if self.keeper.relist.engine_up:
                self._take_stock()

    def _take_stock(self) -> None:
        """Inventories go past the journal: only the newest matters."""
        try:
            self.keeper.inventories.tell(self._send_inventory)
        except (EngineError, QueueUnavailable) as error:
            log.warning("inventory waits", extra={"host": self._settings.host_id, "reason": type(error).__name__})

    def _send_inventory(self, inventory: Inventory) -> None:
        host_id = inventory.host_id
        self._outbox.send_now(inventory, f"host-{host_id}", f"inventory:{host_id}:{time.time_ns()}")

    def _mend(self) -> None:
        """The network and the walls, should somebody have taken them away."""
        try:
            if self._engine.ensure_network(self._settings.network, bridge_of(self._settings.host_id)):
                log.warning("network made again", extra={"host": self._settings.host_id})
        except EngineError as error:
            reason = type(error).__name__
            log.warning("network cannot be looked at", extra={"host": self._settings.host_id, "reason": reason})
        self._walls()

    def _images_now(self) -> list[str]:
        try:
            return self._engine.images()
        except EngineError:
            return self._images

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

    def _walls(self) -> None:
        try:
            self._firewall.ensure()
        except NoFirewall as error:
            if not self._settings.development:
                raise CannotStart(f"containers cannot be walled in: {error}") from error
            log.warning("no firewall round containers", extra={"reason": str(error)})


def bridge_of(host_id: str) -> str:
    """The bridge's name: 15 characters at most, the same after every start."""
    return f"berth{zlib.crc32(host_id.encode()):08x}"


def _facts(engine: DockerEngine, settings: Settings) -> EngineFacts:
    try:
        facts = engine.facts()
    except EngineError as error:
        raise CannotStart(f"no Docker engine answers at {settings.engine}: start it, or give --engine") from error
    if below_floor(facts.version) and not settings.development:
        raise CannotStart(f"Docker Engine {facts.version} has known holes: update it, or say --dev on a test machine")
    return facts
