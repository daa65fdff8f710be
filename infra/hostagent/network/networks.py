"""What network namespace a container starts in: its spec comes in, a holder made ahead or nothing goes out.

Most of a start is the engine making a namespace on a bridge. `PreparedNetworks` keeps some ready, each held by a tiny
container; a new container shares one, which is never given to a second and goes with the first. The engine itself
remembers who shares which, so nothing here need be written down: what a dead process had ready is swept.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode
from infra.hostagent.network.namespaces import Holder, Namespaces
from infra.hostagent.ports import Engine, EngineContainer, EngineDown, EngineError, EngineRefused
from infra.hostagent.profile import engine_name, hostname_of
from infra.hostagent.runtime import Runtime

log = logging.getLogger("berth.agent.networks")

YIELD_SECONDS = 3.0
"""A holder in the making waits at most this long for creations under way: a start that must do without costs more."""

PAUSE_SECONDS = 0.1

QUIET_SECONDS = 0.25
"""What has just been started is being configured: a holder that is made meanwhile costs it as much as itself takes."""

REFUSALS = 3
"""After so many holders in a row whose name the agent cannot set, it is not beside its engine, or not root."""

IDLE_SECONDS = 5.0
"""A holder that nobody knows of is left alone this long: a container that shares it may just be in the making."""


def prepared_for(spec: ContainerSpec) -> bool:
    """Whether a namespace made ahead will do: who is held to names needs a card of its own on another network."""
    return spec.network_mode is NetworkMode.DEFAULT


class Networks(Protocol):
    """Asked before a container is made, when it is started, and when it is gone; every call may be repeated."""

    def take(self, spec: ContainerSpec) -> str | None:
        """The holder whose namespace this container is to share; None when the engine shall make one."""

    def found(self, name: str, holder: str | None) -> None:
        """The container with this engine name was there already, and shares this holder or none."""

    def start(self, engine: Engine, engine_id: str, spec: ContainerSpec) -> None:
        """Start a container in its namespace, with its name. NotThere, EngineRefused or EngineDown."""

    def hand_over(self, blank: str, engine_id: str, spec: ContainerSpec) -> None:
        """A running container that had this engine name is this one now. NotThere, EngineRefused or EngineDown."""

    def free(self, name: str, holder: str | None = None) -> None:
        """The container with this engine name is gone, and so is the need for its holder."""

    def look(self, found: Sequence[EngineContainer]) -> None:
        """Have as many ready as there should be, and none that is of no use, given all containers of the host."""

    def close(self) -> None:
        """Begin nothing more."""

    def clear(self) -> None:
        """Have no holder. EngineError."""


class EngineNetworks:
    """`Networks` where nothing is prepared: the engine makes every namespace as it starts the container."""

    def take(self, spec: ContainerSpec) -> str | None:  # noqa: ARG002
        return None

    def found(self, name: str, holder: str | None) -> None:
        """Nothing."""

    def start(self, engine: Engine, engine_id: str, spec: ContainerSpec) -> None:  # noqa: ARG002
        engine.start(engine_id)

    def hand_over(self, blank: str, engine_id: str, spec: ContainerSpec) -> None:
        """Nothing."""

    def free(self, name: str, holder: str | None = None) -> None:
        """Nothing."""

    def look(self, found: Sequence[EngineContainer]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def clear(self) -> None:
        """Nothing."""


class PreparedNetworks:
    """`Networks` with a pool of holders, filled in the background while no creation is under way."""

    def __init__(self, namespaces: Namespaces, runtime: Runtime, ready: int) -> None:
        self._namespaces = namespaces
        self._runtime = runtime
        self._wanted = ready
        self._lock = runtime.lock()
        self._closed = runtime.flag()
        self._ready: list[str] = []
        self._lent: dict[str, str | None] = {}
        """By engine name: what this process's containers share, None for nothing."""
        self._under_way: set[str] = set()
        """Engine names of containers between `take` and their start."""
        self._started_at = -QUIET_SECONDS
        self._filling = False
        self._refusals = 0
        self._idle_since: dict[str, float] = {}

    def take(self, spec: ContainerSpec) -> str | None:
        name = engine_name(spec.container_id, spec.generation)
        with self._lock:
            if name not in self._lent:
                self._lent[name] = self._ready.pop(0) if self._ready and prepared_for(spec) else None
            self._under_way.add(name)
            taken = self._lent[name]
        self._fill()
        return taken

    def found(self, name: str, holder: str | None) -> None:
        with self._lock:
            lent, self._lent[name] = self._lent.get(name), holder
        if lent is not None and lent != holder:
            self._later(lambda: self._remove({lent}))

    def start(self, engine: Engine, engine_id: str, spec: ContainerSpec) -> None:
        name = engine_name(spec.container_id, spec.generation)
        holder = self._holder_of(engine, name)
        if holder is None:
            engine.start(engine_id)
        else:
            self._start_with(engine, engine_id, holder, fresh=name in self._under_way)
            self._namespaces.name(engine_id, hostname_of(spec))
        with self._lock:
            self._under_way.discard(name)
            self._started_at = self._runtime.monotonic()

    def _start_with(self, engine: Engine, engine_id: str, holder: str, *, fresh: bool) -> None:
        """A holder just taken from those ready needs no mending, unless the engine says so."""
        try:
            if fresh:
                engine.start(engine_id)
                return
        except EngineRefused:
            log.info("holder to be mended", extra={"holder": holder})
        self._namespaces.mend(holder)
        engine.start(engine_id)

    def _holder_of(self, engine: Engine, name: str) -> str | None:
        """As this process remembers it; as the engine does of containers that others made."""
        with self._lock:
            if name in self._lent:
                return self._lent[name]
        found = engine.find(name)
        return found.holder if found is not None else None

    def hand_over(self, blank: str, engine_id: str, spec: ContainerSpec) -> None:
        with self._lock:
            self._lent[engine_name(spec.container_id, spec.generation)] = self._lent.pop(blank, None)
        self._namespaces.name(engine_id, hostname_of(spec))

    def free(self, name: str, holder: str | None = None) -> None:
        with self._lock:
            lent = self._lent.pop(name, None)
            self._under_way.discard(name)
        useless = {each for each in (lent, holder) if each is not None}
        if useless:
            self._later(lambda: self._remove(useless))

    def look(self, found: Sequence[EngineContainer]) -> None:
        try:
            there = {each.engine_id: each for each in self._namespaces.all()}
        except EngineError as error:
            log.warning("holders cannot be looked at", extra={"reason": type(error).__name__})
            return
        shared = {each.holder for each in found}
        with self._lock:
            broken = {each for each in self._ready if each not in there or not there[each].usable}
            self._ready = [each for each in self._ready if each not in broken]
            coming = {self._lent.get(name) for name in self._under_way}
            # what is being made at this moment is not ready yet
            unknown = set() if self._filling else there.keys() - {*self._ready, *coming, *shared}
            idle = self._long_idle(unknown)
            self._lent = {name: each for name, each in self._lent.items() if each not in idle}
        self._remove(broken | idle)
        self._mend(each for each in there.values() if each.engine_id in shared and each.running and not each.address)
        self._fill()

    def _mend(self, holders: Iterable[Holder]) -> None:
        """What was taken from the network comes back to it, and so do the containers that share it, while they run."""
        for holder in holders:
            try:
                self._namespaces.mend(holder.engine_id)
                log.warning("holder joined its network again", extra={"holder": holder.engine_id})
            except EngineError as error:
                log.warning("holder left without its network", extra={"reason": repr(error)[:300]})

    def _long_idle(self, unknown: set[str]) -> set[str]:
        now = self._runtime.monotonic()
        self._idle_since = {each: self._idle_since.get(each, now) for each in unknown}
        return {each for each, since in self._idle_since.items() if now - since >= IDLE_SECONDS}

    def close(self) -> None:
        with self._lock:
            self._closed.set()

    def clear(self) -> None:
        for holder in self._namespaces.all():
            self._namespaces.remove(holder.engine_id)

    def _remove(self, holders: set[str]) -> None:
        """What cannot be removed now is swept at a later look."""
        for holder in holders:
            try:
                self._namespaces.remove(holder)
            except EngineError as error:
                log.warning("holder left to a later look", extra={"reason": type(error).__name__})

    def _fill(self) -> None:
        """Make what lacks, by one thread at a time."""
        with self._lock:
            if self._filling or len(self._ready) >= self._wanted:
                return
            self._filling = True
        self._later(self._make_all)

    def _later(self, work: Callable[[], None]) -> None:
        """Have it done by another thread, unless this process is about to end."""
        with self._lock:
            if not self._closed.is_set():
                self._runtime.spawn(work)

    def _make_all(self) -> None:
        try:
            while len(self._ready) < self._wanted and not self._closed.is_set():
                self._give_way()
                self._make()
        except EngineDown:
            log.warning("no holders while the engine is down")
        except EngineError as error:
            log.warning("holder not made", extra={"reason": repr(error)[:300]})
        finally:
            with self._lock:
                self._filling = False

    def _give_way(self) -> None:
        ends = self._runtime.monotonic() + YIELD_SECONDS
        while self._busy() and self._runtime.monotonic() < ends:
            if self._closed.wait(PAUSE_SECONDS):
                return

    def _busy(self) -> bool:
        """Whether a creation is under way, or has just come to its start."""
        return bool(self._under_way) or self._runtime.monotonic() < self._started_at + QUIET_SECONDS

    def _make(self) -> None:
        holder = self._namespaces.make()
        try:
            self._namespaces.name(holder, "container")  # as what shares it will be named
        except EngineRefused:
            self._namespaces.remove(holder)
            self._refusals += 1
            if self._refusals >= REFUSALS:
                self._wanted = 0
                log.warning("no namespaces are prepared on this host")
            raise
        self._refusals = 0
        with self._lock:
            self._ready.append(holder)
