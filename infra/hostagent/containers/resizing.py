"""Other amounts for a container that exists: an intent comes in, the engine changes limits, an event tells of it."""

import logging
from dataclasses import dataclass, replace

from chalicelib.contract.agent_api import ResizeCall
from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Resized
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.switching import SWITCHABLE
from infra.hostagent.failures import reason_of
from infra.hostagent.journal.intents import CREATING, SETTLED, Intent, remembered, taken
from infra.hostagent.journal.tellings import telling
from infra.hostagent.ports import EngineDown, EngineError
from infra.hostagent.profile import limits_of

log = logging.getLogger("berth.agent.resizing")

RESIZABLE = (*CREATING, *SWITCHABLE)
"""While it is made or switched, a resizing waits."""

_REFUSED = Cause(
    code=Code.ENGINE_ERROR,
    actor=Actor.SYSTEM,
    message="the container keeps what it had: it uses more memory than was asked for, or the host cannot grant it; "
    "free memory inside, or ask for other amounts",
)


@dataclass(frozen=True, slots=True)
class Resizing:
    """Gives containers what was asked for; safe to run again, the last one asked for counts."""

    means: Means
    cores: int

    def take(self, intent: Intent, call: ResizeCall) -> None:
        """Journal what is asked for; an action that was taken before changes nothing."""
        if not taken(intent.resized, call.action):
            wanted = replace(intent, resize=call, resized=remembered(intent.resized, call.action), trace=call.trace)
            self.means.journal.take(wanted, expected=RESIZABLE)

    def run(self, intent: Intent) -> None:
        """Change the limits and tell; what cannot be done while the engine is down is left for the next look."""
        call, spec = intent.resize, intent.spec
        if call is None or spec is None or intent.step not in SETTLED:
            return
        ids = {"container": intent.container_id, "action": call.action}
        granted, cause = call.resources, None
        try:
            self.means.engine.resize(str(intent.engine_id), limits_of(call.resources, self.cores))
            log.info("container resized", extra=ids)
        except EngineDown:
            log.warning("resizing waits for the engine", extra=ids)
            return
        except EngineError as error:
            log.warning("resizing refused", extra=ids | {"reason": reason_of(error, spec)})
            granted, cause = spec.resources, _REFUSED
        now = self.means.runtime.time()
        event = telling(Resized, intent, now, action=call.action, resources=granted, cause=cause)
        self.means.journal.grant(intent, granted, event)
