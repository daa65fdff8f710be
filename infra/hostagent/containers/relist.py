"""Wanted and found compared: journal and engine come in; what ended is told, what the journal knows unwanted goes (M5).

The engine's own words make it quick; looking makes it true.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Stopped
from infra.hostagent.containers.means import Means
from infra.hostagent.failures import exited, vanished
from infra.hostagent.journal.intents import CREATING, GONE, SETTLED, SWITCHING, Intent, Step
from infra.hostagent.journal.tellings import telling
from infra.hostagent.network.holding import Holding
from infra.hostagent.ports import EngineContainer, EngineDown, EngineError
from infra.hostagent.profile import engine_name

log = logging.getLogger("berth.agent.relist")

TOMBSTONE_SECONDS = 24 * 3600.0
"""How long a deleted id is remembered and refused (M8)."""

OOM_WINDOW_SECONDS = 2.0
"""A death by signal this near to an out-of-memory kill was that: the engine hears of both at once, in either order.

A child's memory kill leaves its container running, and somebody who ends that later is not to be called memory.
"""

OOM_SEEN_SECONDS = 5.0
"""The same, when it is only known by when the death was seen."""

_KILLED = 137


class Relist:
    """Looks at the engine and mends the difference; `poke` has a container settled."""

    def __init__(self, means: Means, host_id: str, poke: Callable[[str], None]) -> None:
        self._engine = means.engine
        self._journal = means.journal
        self._runtime = means.runtime
        self._host_id = host_id
        self._poke = poke
        self._told = means.told
        self._files = means.files
        self._networks = means.networks
        self._egress = means.egress
        self._holding = Holding(means)
        self._pool = means.pool
        self._out_of_memory: dict[str, float] = {}
        self.engine_up = True

    def look(self) -> None:
        """Compare and mend. The journal is read first: what was ready then must be found now.

        Files and admissions are listed before even that: what is being made then is in the journal, what was made is on
        the engine.
        """
        admitted = self._egress.admitted()
        files = self._files.names()
        wanted = {intent.container_id: intent for intent in self._journal.intents()}
        try:
            found = self._engine.of_host(self._host_id)
        except EngineDown:
            self.engine_up = False
            return
        except EngineError:
            log.exception("look at the engine failed")
            return
        self.engine_up = True
        for intent in wanted.values():
            self._compare(intent, found)
        for container in found:
            self._judge(container, wanted.get(container.container_id))
        self._sweep(files, list(wanted.values()), found)
        self._pool.look(found)
        self._networks.look(found)
        self._holding.compare(admitted, list(wanted.values()), found)
        self._journal.forget(self._runtime.time() - TOMBSTONE_SECONDS)

    def _sweep(self, files: list[str], wanted: list[Intent], found: list[EngineContainer]) -> None:
        """Remove files of what is neither on the engine nor being made: a crash or somebody else left them behind."""
        used = {engine_name(each.container_id, each.generation) for each in wanted if each.step in CREATING}
        used |= {engine_name(each.container_id, each.generation) for each in found} | self._pool.names()
        for name in set(files) - used:
            self._files.remove(name)

    def heard(self, action: str, container_id: str, at: float) -> None:
        """The engine says something happened: remember memory kills, and look at once."""
        if action == "oom":
            self._out_of_memory[container_id] = at
            return
        intent = self._journal.get(container_id)
        if intent is None or intent.step not in GONE:  # what goes as it should is seen to by who removes it
            self.look()

    def _compare(self, intent: Intent, found: list[EngineContainer]) -> None:
        if intent.step in (*CREATING, *SWITCHING, Step.REMOVING):
            self._poke(intent.container_id)
            return
        if intent.resize is not None and intent.step in SETTLED:
            self._poke(intent.container_id)
        if intent.step is Step.READY:
            here = [c for c in found if (c.container_id, c.generation) == (intent.container_id, intent.generation)]
            if not here or here[0].going:
                self._ended(intent, vanished())
            elif not here[0].running:
                self._ended(intent, self._why(here[0]))

    def _ended(self, intent: Intent, cause: Cause) -> None:
        """Tell of it, unless something was told meanwhile: a restart that the look fell into is no end."""
        if self._journal.get(intent.container_id) != intent:
            return
        now = self._runtime.time()
        stopped = replace(intent, step=Step.STOPPED, cause=cause, changed_at=now)
        event = telling(Stopped, intent, now, cause=cause)
        if self._journal.advance(stopped, [event], expected=[Step.READY]) is not None:
            log.info("container ended", extra={"container": intent.container_id, "code": cause.code.value})
            self._told()

    def _why(self, container: EngineContainer) -> Cause:
        killed_at = self._out_of_memory.get(container.container_id, 0.0)
        ended_at, window = container.finished_at, OOM_WINDOW_SECONDS
        if ended_at is None:
            ended_at, window = self._runtime.time(), OOM_SEEN_SECONDS
        if container.exit_code == _KILLED and abs(ended_at - killed_at) < window:
            message = "the container used more memory than it was granted: create it with more"
            return Cause(code=Code.OOM, actor=Actor.CONTAINER, message=message, exit_code=_KILLED)
        return exited(container.exit_code)

    def _judge(self, container: EngineContainer, intent: Intent | None) -> None:
        """Remove a container that the journal knows nobody wants; of others the inventory asks (I15)."""
        if intent is None:
            return
        if container.generation == intent.generation:
            unwanted = intent.step in (Step.FAILED, Step.REMOVED)
        else:
            unwanted = container.generation < intent.generation
        if unwanted:
            log.warning("unwanted container removed", extra={"container": container.container_id})
            try:
                self._engine.remove(container.engine_id)
                self._networks.free(engine_name(container.container_id, container.generation), container.holder)
            except EngineError:
                return
