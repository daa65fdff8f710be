"""Starting, stopping and restarting: an intent comes in, the engine is driven, numbered events go to the journal."""

import logging
from dataclasses import dataclass, replace

from chalicelib.contract.agent_api import PowerCall, Verb
from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.events import Started, Stopped
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.starting import start
from infra.hostagent.failures import reason_of, vanished
from infra.hostagent.journal.intents import SETTLED, SWITCHING, Intent, Step, remembered, taken
from infra.hostagent.journal.tellings import moment, telling
from infra.hostagent.network.egress import EgressFailed
from infra.hostagent.network.holding import Holding
from infra.hostagent.ports import EngineDown, EngineError, NotThere

log = logging.getLogger("berth.agent.switching")

STOP_SECONDS = 10
"""How long a container may take to end by itself."""

STEP_OF = {Verb.START: Step.STARTING_AGAIN, Verb.STOP: Step.STOPPING, Verb.RESTART: Step.RESTARTING}

SWITCHABLE = (*SETTLED, *SWITCHING)

_BY_USER = Cause(code=Code.USER, actor=Actor.USER, message="stopped by its user")

_NOT_SWITCHED = Cause(
    code=Code.ENGINE_ERROR,
    actor=Actor.SYSTEM,
    message="the container could not be switched: delete it and create it again",
)


@dataclass(frozen=True, slots=True)
class Switching:
    """Drives intents to `stopped` or back to `ready`; safe to run again from any step."""

    means: Means

    def take(self, intent: Intent, call: PowerCall) -> None:
        """Journal what is to be done; the last one taken counts, and one that was taken before changes nothing."""
        if not taken(intent.action, call.action):
            now = self.means.runtime.time()
            step = STEP_OF[call.verb]
            actions = remembered(intent.action, call.action)
            wanted = replace(intent, step=step, action=actions, trace=call.trace, changed_at=now)
            self.means.journal.take(wanted, expected=SWITCHABLE)

    def run(self, intent: Intent) -> None:
        """Do what the intent's step asks; what cannot be done while the engine is down is left for the next look."""
        ids = {
            "container": intent.container_id,
            "action": (intent.action or "").rpartition(" ")[2],
            "step": intent.step.value,
        }
        try:
            if intent.step is Step.STARTING_AGAIN:
                self._start(intent)
            else:
                self._stop(intent)
            log.info("container switched", extra=ids)
        except EngineDown:
            log.warning("switching waits for the engine", extra=ids)
        except EngineError as error:
            log.warning("switching failed", extra=ids | {"reason": reason_of(error, intent.spec)})
            self._stopped(intent, Step.STOPPED, vanished() if isinstance(error, NotThere) else _NOT_SWITCHED)

    def _stop(self, intent: Intent) -> None:
        self.means.engine.stop(str(intent.engine_id), STOP_SECONDS)
        following = Step.STARTING_AGAIN if intent.step is Step.RESTARTING else Step.STOPPED
        self._stopped(intent, following, _BY_USER)

    def _stopped(self, intent: Intent, step: Step, cause: Cause) -> None:
        now = self.means.runtime.time()
        stopped = replace(intent, step=step, changed_at=now)
        self.means.journal.advance(stopped, [telling(Stopped, intent, now, cause=cause)], expected=[intent.step])

    def _start(self, intent: Intent) -> None:
        spec, engine_id = intent.spec, str(intent.engine_id)
        if spec is None:
            raise NotThere(engine_id)
        self.means.files.write(spec)  # a container taken over may have outlived them
        start(self.means.engine, self.means.disk, self.means.networks, engine_id, spec)
        try:
            Holding(self.means).admit(spec)
        except EgressFailed:
            log.warning("container reaches nothing until the next look", extra={"container": intent.container_id})
        now = self.means.runtime.time()
        started = replace(intent, step=Step.READY, changed_at=now)
        event = telling(Started, intent, now, started_at=moment(now))
        self.means.journal.advance(started, [event], expected=[Step.STARTING_AGAIN])
