"""The host's containers kept as wanted: calls come in, are journalled, and work is done and told of.

Level-triggered: whatever happened, `settle` does what the journal and the engine together ask for; `relist` says when.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial

from chalicelib.contract.agent_api import ContainerSpec, PowerCall, RefusalCode, Removal, ResizeCall
from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Removed, Started
from chalicelib.contract.tracing import bound
from infra.hostagent.containers.creation import Creation
from infra.hostagent.containers.inventories import Inventories
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.relist import Relist
from infra.hostagent.containers.resizing import RESIZABLE, Resizing
from infra.hostagent.containers.switching import SWITCHABLE, Switching
from infra.hostagent.journal.intents import CREATING, GONE, OVER, SETTLED, SWITCHING, Intent, Step, accepted, removing
from infra.hostagent.journal.tellings import moment, telling
from infra.hostagent.ports import EngineContainer, EngineError
from infra.hostagent.profile import engine_name

log = logging.getLogger("berth.agent.keeper")

_USER = Cause(code=Code.USER, actor=Actor.USER, message="deleted by its user")
_EXPIRED = Cause(code=Code.EXPIRED, actor=Actor.SYSTEM, message="the session is over: create a new container")


class CallRefused(Exception):
    """The host will not do what the call asks; nothing was or will be done for it."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Policy:
    """What this host is willing to do."""

    host_id: str
    max_containers: int
    draining: bool = False
    grace_seconds: float = 300.0
    """A container that the control plane may not know of is left alone for this long (M9)."""
    inventory_seconds: float = 60.0


class Keeper:
    """Takes calls and drives containers to what is wanted, each by one thread at a time."""

    def __init__(self, means: Means, creation: Creation, policy: Policy) -> None:
        self._engine = means.engine
        self._journal = means.journal
        self._runtime = means.runtime
        self._told = means.told
        self._files = means.files
        self._networks = means.networks
        self._pool = means.pool
        self._disk = means.disk
        self._creation = creation
        self._policy = policy
        self._switching = Switching(means)
        self._resizing = Resizing(means, creation.cores)
        self._decisions = means.runtime.lock()
        """Held while a call is judged by the journal and written to it: of a create and a delete, the delete wins."""
        self._lock = means.runtime.lock()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._expiries: dict[str, float] = {}
        self._closed = False
        self.relist = Relist(means, policy.host_id, self._poke)
        self.inventories = Inventories(means, policy.host_id, policy.grace_seconds, policy.inventory_seconds)

    def resume(self) -> None:
        """Take up what an earlier process left."""
        for intent in self._journal.intents():
            self._watch_expiry(intent)
            self._poke(intent.container_id)

    def tell_again(self) -> None:
        """Say of everything that runs that it does: the control plane may have taken us for lost."""
        for intent in self._journal.intents():
            if intent.step is Step.READY:
                now = self._runtime.time()
                started = telling(Started, intent, now, started_at=moment(now))
                self._journal.advance(intent, [started], expected=[Step.READY])
        self._told()

    def accept(self, spec: ContainerSpec) -> None:
        """Journal a creation and set about it, or CallRefused. The same again changes nothing."""
        with self._decisions:
            known = self._journal.get(spec.container_id)
            if known is not None and known.step in GONE and known.generation >= spec.generation:
                raise CallRefused(RefusalCode.TOMBSTONE, "the container was deleted")
            if known is not None and known.generation > spec.generation:
                raise CallRefused(RefusalCode.STALE_GENERATION, "a newer generation is known")
            if known is None or known.generation < spec.generation:
                self._check_willing(spec)
                self._accept(spec)
        self._poke(spec.container_id)

    def _accept(self, spec: ContainerSpec) -> None:
        intent = accepted(spec, self._runtime.time())
        self._journal.accept(intent)
        log.info("creation accepted", extra={"container": spec.container_id, "generation": spec.generation})
        self._watch_expiry(intent)

    def _check_willing(self, spec: ContainerSpec) -> None:
        """What the control plane has heard of before is here, and taken over however full the host is."""
        if not self.relist.engine_up:
            raise CallRefused(RefusalCode.ENGINE_DOWN, "the host's engine does not answer")
        if spec.number:
            return
        if spec.disk_limited and not self._disk.enforced:
            raise CallRefused(RefusalCode.DISK_UNLIMITED, "the host cannot limit what a container writes")
        if self._policy.draining:
            raise CallRefused(RefusalCode.DRAINING, "the host takes no new containers")
        if self.count() >= self._policy.max_containers:
            raise CallRefused(RefusalCode.FULL, "the host is full")

    def count(self) -> int:
        """Containers that are or will be on this host."""
        return sum(1 for intent in self._journal.intents() if intent.step not in OVER)

    def remove(self, removal: Removal, cause: Cause = _USER) -> None:
        """Journal that this generation and all lower ones have to go, wherever they stand, and set about it."""
        with self._decisions:
            known = self._journal.get(removal.container_id)
            if known is not None and known.step not in GONE and known.generation > removal.generation:
                return  # what is left of lower generations goes at the next look
            if known is None or known.step not in GONE or known.generation < removal.generation:
                self._journal.accept(removing(removal, known, cause, self._runtime.time()))
                log.info("removal accepted", extra={"container": removal.container_id, "code": cause.code.value})
            else:
                self._asked_again(known, removal)
        self._poke(removal.container_id)

    def _asked_again(self, known: Intent, removal: Removal) -> None:
        """Tell again of one that is gone, so that it counts: the first who asked may not have known the last number."""
        self._journal.count_on(removal.container_id, removal.generation, removal.number)
        if known.step is Step.REMOVED:
            again = telling(Removed, known, self._runtime.time(), cause=known.cause or _USER)
            self._journal.advance(known, [again], expected=[Step.REMOVED])
            self._told()

    def power(self, call: PowerCall) -> None:
        """Journal a start, stop or restart and set about it, or CallRefused."""
        with self._decisions:
            self._switching.take(self._known(call, SWITCHABLE), call)
        log.info("switch accepted", extra={"container": call.container_id, "action": call.action})
        self._poke(call.container_id)

    def resize(self, call: ResizeCall) -> None:
        """Journal other amounts and set about giving them, or CallRefused."""
        with self._decisions:
            self._resizing.take(self._known(call, RESIZABLE), call)
        log.info("resizing accepted", extra={"container": call.container_id, "action": call.action})
        self._poke(call.container_id)

    def _known(self, call: PowerCall | ResizeCall, steps: tuple[Step, ...]) -> Intent:
        known = self._journal.get(call.container_id)
        if known is None or known.generation != call.generation or known.step not in steps:
            raise CallRefused(RefusalCode.UNKNOWN, "there is no such container to which this can be done")
        return known

    def _poke(self, container_id: str) -> None:
        """Have the container settled soon, by one thread at a time."""
        with self._lock:
            if self._closed:
                return
            if container_id in self._busy:
                self._again.add(container_id)
                return
            self._busy.add(container_id)
            self._runtime.spawn(partial(self._settle_until_quiet, container_id))

    def _settle_until_quiet(self, container_id: str) -> None:
        try:
            while True:
                self._settle(container_id)
                with self._lock:
                    if container_id not in self._again:
                        self._busy.discard(container_id)
                        return
                    self._again.discard(container_id)
        except Exception:
            with self._lock:
                self._busy.discard(container_id)
                self._again.discard(container_id)
            log.exception("settling broke; the next look tries again", extra={"container": container_id})
        finally:
            self._told()

    def _settle(self, container_id: str) -> None:
        intent = self._journal.get(container_id)
        if intent is not None:
            with bound(container=container_id, trace=intent.trace):
                self._do(intent)

    def _do(self, intent: Intent) -> None:
        """What the intent's step asks for."""
        if intent.step in CREATING:
            self._creation.run(intent)
            self._go_on(intent)
        elif intent.step in SWITCHING:
            self._switching.run(intent)
            self._go_on(intent)
        elif intent.step is Step.REMOVING:
            self._remove(intent)
        elif intent.step in SETTLED:
            self._resizing.run(intent)

    def _go_on(self, before: Intent) -> None:
        """A restart's second half, and a resizing that waited, come at once."""
        now = self._journal.get(before.container_id)
        if now is None or now.step is before.step:
            return
        if now.step is Step.STARTING_AGAIN or (now.step in SETTLED and now.resize is not None):
            with self._lock:
                self._again.add(before.container_id)

    def _remove(self, intent: Intent) -> None:
        """Remove the engine containers meant; what cannot be removed now is tried at the next look."""
        try:
            for container in self._meant(intent):
                self._engine.remove(container.engine_id)
                self._networks.free(engine_name(container.container_id, container.generation), container.holder)
            left = self._meant(intent)
        except EngineError as error:
            log.warning("removal waits", extra={"container": intent.container_id, "reason": type(error).__name__})
            return
        if left:
            return
        name = engine_name(intent.container_id, intent.generation)
        self._networks.free(name)
        self._files.remove(name)
        now = self._runtime.time()
        removed = replace(intent, step=Step.REMOVED, changed_at=now)
        event = telling(Removed, intent, now, cause=intent.cause or _USER)
        self._journal.advance(removed, [event], expected=[Step.REMOVING])
        log.info("container removed", extra={"container": intent.container_id})

    def _meant(self, intent: Intent) -> list[EngineContainer]:
        found = self._engine.of_host(self._policy.host_id)
        ours = [each for each in found if each.container_id == intent.container_id]
        return [each for each in ours if each.generation <= intent.generation]

    def _watch_expiry(self, intent: Intent) -> None:
        """By a clock that nobody sets back: seconds left now, counted from now (I20)."""
        if intent.expires_at is None or intent.step in GONE:
            self._expiries.pop(intent.container_id, None)
        else:
            self._expiries[intent.container_id] = self._runtime.monotonic() + (intent.expires_at - self._runtime.time())

    def expire(self) -> None:
        """Remove what has outlived its session."""
        now = self._runtime.monotonic()
        for container_id, ends in list(self._expiries.items()):
            if ends <= now:
                del self._expiries[container_id]
                self._expire(container_id)

    def _expire(self, container_id: str) -> None:
        intent = self._journal.get(container_id)
        if intent is not None and intent.step not in OVER:
            removal = Removal(container_id=container_id, user_id=intent.user_id, generation=intent.generation)
            self.remove(removal, _EXPIRED)

    def remove_all(self) -> None:
        """Leave no container of this host behind (for a host that ends with its cloud)."""
        for container in self._engine.of_host(self._policy.host_id):
            self._engine.remove(container.engine_id)
        self._networks.clear()
        for name in self._files.names():
            self._files.remove(name)

    def close(self, seconds: float = 5.0) -> None:
        """Begin nothing more, and wait at most this long for what is under way: it ends at its next step."""
        with self._lock:
            self._closed = True
        self._creation.closing.set()
        self._networks.close()
        self._pool.close()
        self._runtime.close(seconds)
