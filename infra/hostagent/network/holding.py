"""Containers held to their names: what runs comes in, who is admitted to what goes out (`egress`).

A container is admitted when it has started; whatever went otherwise is mended by looking.
"""

import logging
from dataclasses import dataclass

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode
from infra.hostagent.containers.means import Means
from infra.hostagent.journal.intents import CREATING, OVER, SWITCHING, Intent
from infra.hostagent.network.egress import Admission, EgressFailed, Guest, guest_of
from infra.hostagent.ports import EngineContainer
from infra.hostagent.profile import engine_name

log = logging.getLogger("berth.agent.holding")


@dataclass(frozen=True, slots=True)
class Holding:
    """Keeps `Egress` in step with the engine."""

    means: Means

    def admit(self, spec: ContainerSpec | None) -> None:
        """Admit the container, which has just started, if it is held to names. EngineDown, EgressFailed."""
        if spec is None or spec.network_mode is not NetworkMode.RESTRICTED:
            return
        found = self.means.engine.find(engine_name(spec.container_id, spec.generation))
        guest = guest_of(spec, found.attachment if found else None)
        if guest is not None:
            self.means.egress.change([guest])

    def compare(self, before: list[Admission], wanted: list[Intent], found: list[EngineContainer]) -> None:
        """Admit what runs and is not admitted, end admissions of what runs no more.

        `before` was read first and `wanted` second: what has been admitted since then is nobody's business here.
        """
        guests = _guests(wanted, found)
        moving = {_name(intent) for intent in wanted if intent.step in (*CREATING, *SWITCHING)}
        known = {each.guest for each in before}
        gone = [each for each in before if each.guest not in guests and each.guest.name not in moving]
        come = [each for each in guests if each not in known and each.name not in moving]
        try:
            self.means.egress.change(come, gone)
        except EgressFailed as error:
            log.warning("containers cannot be held to their names", extra={"reason": str(error)})


def _guests(wanted: list[Intent], found: list[EngineContainer]) -> list[Guest]:
    specs = {(each.container_id, each.generation): each.spec for each in wanted if each.step not in OVER}
    guests = []
    for container in found:
        spec = specs.get((container.container_id, container.generation))
        guest = guest_of(spec, container.attachment) if spec is not None and container.running else None
        if guest is not None:
            guests.append(guest)
    return guests


def _name(intent: Intent) -> str:
    return engine_name(intent.container_id, intent.generation)
