"""What hosts hold: inventories come in, doubts about what is nobody's go out as commands, and are settled (M9).

Two steps: the status function only asks; the provision function looks at the record again before it acts.
"""

import logging
from dataclasses import dataclass

from chalicelib.contract.agent_api import Held, Removal
from chalicelib.contract.commands import Settle
from chalicelib.contract.events import Inventory, Started
from chalicelib.domain.announcements import alive_after_all
from chalicelib.domain.container import Container
from chalicelib.domain.errors import AgentRefused, AgentUnreachable, NotFound
from chalicelib.domain.inventory import Verdict, verdict, wrongly_lost
from chalicelib.domain.specs import spec_of
from chalicelib.ports import Agents, Clock, CommandQueue, ContainerStore, HostStore

log = logging.getLogger("berth.inventories")

WINDOW_SECONDS = 60
"""A container is asked about once in this time, however often its host tells of it."""


@dataclass(frozen=True, slots=True)
class Inventories:
    """The first step: compare what a host holds with the records."""

    containers: ContainerStore
    commands: CommandQueue
    clock: Clock

    def compare(self, inventory: Inventory) -> int:
        """Ask about each container that no record wants so; how many. Busy when the inventory must come again."""
        return sum(self._compare(inventory.host_id, held) for held in inventory.containers)

    def alive(self, inventory: Inventory) -> list[Started]:
        """Of what runs on its host, but is recorded as lost with it, that it has started again.

        The lease may have ended although the host was well, because its messages waited: then it does not know that
        it has to tell again what runs.
        """
        found = [(_record(self.containers, inventory.host_id, each), each) for each in inventory.containers]
        return [
            alive_after_all(record, self.clock.now())
            for record, held in found
            if record is not None and wrongly_lost(record, inventory.host_id, held)
        ]

    def _compare(self, host_id: str, held: Held) -> bool:
        record = _record(self.containers, host_id, held)
        found = verdict(record, host_id, held.generation, known=held.step is not None)
        if found is Verdict.KEEP:
            return False
        log.warning("doubtful container", extra=_ids(held, host_id) | {"verdict": found})
        window = int(self.clock.now().timestamp()) // WINDOW_SECONDS
        user_id = record.user_id if record is not None else held.user_id
        self.commands.send(
            Settle(container_id=held.container_id, user_id=user_id, host_id=host_id, generation=held.generation),
            attempt=window,
        )
        return True


@dataclass(frozen=True, slots=True)
class Settlement:
    """The second step: adopt or remove by the record as it is now."""

    containers: ContainerStore
    hosts: HostStore
    agents: Agents
    clock: Clock

    def settle(self, doubt: Settle) -> None:
        """What cannot be done now is left to the host's next inventory."""
        record = _record(self.containers, doubt.host_id, doubt)
        found = verdict(record, doubt.host_id, doubt.generation, known=False)
        try:
            if found is Verdict.ADOPT and record is not None:
                self.agents.create(self.hosts.get(doubt.host_id), spec_of(record, self.clock.now(), any_disk=True))
            elif found is Verdict.REMOVE:
                self.agents.delete(self.hosts.get(doubt.host_id), _removal(doubt, record))
        except (AgentRefused, AgentUnreachable, NotFound) as error:
            log.warning("doubt left to the next inventory", extra=_ids(doubt, doubt.host_id) | {"reason": str(error)})
            return
        log.info("doubt settled", extra=_ids(doubt, doubt.host_id) | {"verdict": found})


def _record(containers: ContainerStore, host_id: str, one: Held | Settle) -> Container | None:
    """Its record; of a container whose host cannot say whose it is, the one that is placed there."""
    try:
        if not one.user_id:
            return containers.find_on_host(host_id, one.container_id)
        return containers.get(one.user_id, one.container_id)
    except NotFound:
        return None


def _removal(doubt: Settle, record: Container | None) -> Removal:
    """A host that has lost its journal counts on from what is recorded, or its last word would pass for an old one."""
    number = record.number if record is not None and record.generation == doubt.generation else 0
    return Removal(
        container_id=doubt.container_id,
        user_id=doubt.user_id,
        generation=max(1, doubt.generation),
        number=number,
    )


def _ids(one: Held | Settle, host_id: str) -> dict[str, object]:
    return {"container": one.container_id, "host": host_id, "generation": one.generation}
