"""Commands carried out: a command comes in, a host is claimed and its agent told; events and retries go out."""

import logging
from dataclasses import dataclass

from chalicelib.contract.agent_api import PowerCall, RefusalCode, Removal, ResizeCall, Verb
from chalicelib.contract.commands import Command, Create, Power, Rename, Resize, Settle
from chalicelib.contract.statuses import Status
from chalicelib.domain import catalogue
from chalicelib.domain.announcements import never_placed, overdue, renamed, too_many_pulls, unlimited, validating
from chalicelib.domain.container import Container, PendingPower
from chalicelib.domain.errors import (
    AgentRefused,
    AgentUnreachable,
    HostFull,
    NoCapacity,
    NoLimits,
    NotFound,
    RateLimited,
    RetryLater,
    StaleWrite,
)
from chalicelib.domain.host import Host
from chalicelib.domain.placement import Wish, choose_host
from chalicelib.domain.specs import spec_of
from chalicelib.ports import Agents, Clock, ContainerStore, EventQueue, HostStore, Ids
from chalicelib.services.inventories import Settlement
from chalicelib.services.rates import Pulls

log = logging.getLogger("berth.provisioning")

PLACE_TRIES = 4
"""One choice and at most three further samples (reliability §5.5)."""

LIMITS_TRIES = 3
"""How often it is looked for a host that limits disks, when there are only others: a new one may just be coming up."""

BACKOFF_SECONDS = (1, 2, 4, 8, 16, 32)

_FINAL_REFUSALS = (RefusalCode.TOMBSTONE, RefusalCode.STALE_GENERATION)


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Place containers, and have hosts make and remove them; nothing here waits for Docker."""

    containers: ContainerStore
    hosts: HostStore
    agents: Agents
    events: EventQueue
    clock: Clock
    ids: Ids
    pulls: Pulls
    any_disk: bool = False
    """Whether hosts are used that cannot hold a container to its disk."""

    def carry_out(self, command: Command, attempt: int) -> None:
        """Do what the command asks; `attempt` counts deliveries from 1. RetryLater when it must come again."""
        if isinstance(command, Settle):
            Settlement(self.containers, self.hosts, self.agents, self.clock).settle(command)
            return
        try:
            container = self.containers.get(command.user_id, command.container_id)
        except NotFound:
            log.warning("command for an unknown container", extra={"container": command.container_id})
            return
        if isinstance(command, Create):
            self._create(container, attempt)
        elif isinstance(command, Power):
            self._power(container, command, attempt)
        elif isinstance(command, Resize):
            self._resize(container, command, attempt)
        elif isinstance(command, Rename):
            self._rename(container, command)
        else:
            self._delete(container, attempt)

    def _create(self, container: Container, attempt: int) -> None:
        if container.status is not Status.CREATING:
            log.info("create no longer wanted", extra={"container": container.id, "status": container.status})
            return
        now = self.clock.now()
        if now >= container.deadline:
            self.events.send(overdue(container, now))
            return
        refused: set[str] = set()
        for _ in range(PLACE_TRIES):
            try:
                container, host = self._placed_and_told(container, refused, attempt)
            except RateLimited as limited:
                self.events.send(too_many_pulls(container, now, limited.retry_after))
                return
            except NoLimits:
                self.events.send(unlimited(container, now))
                return
            if self._handed_over(container, host, attempt):
                return
            refused.add(host.id)
            container = self.containers.unplace(container)
        raise _retry("every host tried refused", attempt)

    def _placed_and_told(self, container: Container, refused: set[str], attempt: int) -> tuple[Container, Host]:
        """`_placed`; that it is looked after is told in any case, each time, and applied once.

        Told afterwards: who applies it would otherwise read the record just before the claim changes it, and lose.
        """
        try:
            return self._placed(container, refused, attempt)
        finally:
            self.events.send(validating(container, self.clock.now()))

    def _placed(self, container: Container, refused: set[str], attempt: int) -> tuple[Container, Host]:
        """The record with its host: the one it has (M3: retries go to the same), or a newly claimed one."""
        if container.host_id is not None:
            return container, self.hosts.get(container.host_id)
        for _ in range(PLACE_TRIES):
            try:
                return self._claim(container, refused)
            except HostFull as full:
                refused.add(str(full))
            except NoLimits as error:
                if attempt >= LIMITS_TRIES:
                    raise
                raise _retry("no host limits disks", attempt) from error
            except NoCapacity as error:
                raise _retry(str(error), attempt) from error
            except StaleWrite as error:
                raise RetryLater("record changed while placing", seconds=0) from error
        raise _retry("hosts filled up while placing", attempt)

    def _claim(self, container: Container, refused: set[str]) -> tuple[Container, Host]:
        now = self.clock.now()
        runtime = catalogue.tiers()[container.tier].runtime
        wish = Wish(container.resources, container.image_reference, frozenset(refused), runtime, self.any_disk)
        host = choose_host(self.hosts.samples(self.ids.choice), wish, now, self.ids.choice)
        self._check_pull(container, host)
        placed = self.containers.place(container, host, now)
        log.info("container placed", extra={"container": container.id, "host": host.id})
        return placed, host

    def _check_pull(self, container: Container, host: Host) -> None:
        """A user's own image that the host would have to pull counts against the hour; RateLimited when it is full."""
        if not container.custom or host.has(container.image_reference):
            return
        wait = self.pulls.wait_for(container.user_id, container.id)
        if wait:
            raise RateLimited(wait)

    def _handed_over(self, container: Container, host: Host, attempt: int) -> bool:
        """True when the agent has it; False when it refused for certain and another host may be tried."""
        try:
            self.agents.create(host, spec_of(container, self.clock.now(), any_disk=self.any_disk))
        except AgentRefused as refusal:
            log.warning("host refused", extra={"container": container.id, "host": host.id, "code": refusal.code})
            if refusal.code in _FINAL_REFUSALS:
                raise RetryLater("host knows of a newer state", seconds=1) from refusal
            self._note_failure(host)
            return False
        except AgentUnreachable as error:
            self._note_failure(host)
            raise _retry("agent did not answer", attempt) from error
        return True

    def _note_failure(self, host: Host) -> None:
        """Once in a while is enough: others go elsewhere for some minutes, and the row is not written by each."""
        now = self.clock.now()
        if not host.failing(now):
            self.hosts.note_failure(host.id, now)

    def _power(self, container: Container, command: Power, attempt: int) -> None:
        """Hand the action to the container's host, if it is still what is pending."""
        pending = container.pending_power
        if container.host_id is None or pending is None or pending.action != command.action:
            log.info("power no longer wanted", extra={"container": container.id, "verb": command.verb})
            return
        call = PowerCall(
            container_id=container.id,
            user_id=container.user_id,
            generation=container.generation,
            verb=pending.verb,
            action=_action(container, pending),
        )
        try:
            self.agents.power(self.hosts.get(container.host_id), call)
        except AgentRefused as refusal:
            log.warning("host refused the action", extra={"container": container.id, "code": refusal.code})
        except AgentUnreachable as error:
            raise _retry("agent did not answer", attempt) from error

    def _resize(self, container: Container, command: Resize, attempt: int) -> None:
        """Hand the record's amounts to the container's host, if it has not confirmed them."""
        pending = container.pending_resize
        if container.host_id is None or pending is None or pending.action != command.action:
            log.info("resize no longer wanted", extra={"container": container.id})
            return
        call = ResizeCall(
            container_id=container.id,
            user_id=container.user_id,
            generation=container.generation,
            resources=container.resources,
            action=f"{pending.action}:{container.attempt}",
        )
        try:
            self.agents.resize(self.hosts.get(container.host_id), call)
        except AgentRefused as refusal:
            log.warning("host refused the resize", extra={"container": container.id, "code": refusal.code})
        except AgentUnreachable as error:
            raise _retry("agent did not answer", attempt) from error

    def _rename(self, container: Container, command: Rename) -> None:
        """Have it told, if it has not been; the status function alone pushes."""
        if container.pending_rename == command.action:
            self.events.send(renamed(container, command.action, self.clock.now()), container.attempt)

    def _delete(self, container: Container, attempt: int) -> None:
        if container.status is not Status.DELETING:
            return
        if container.host_id is None:
            self.events.send(never_placed(container, self.clock.now()))
            return
        removal = Removal(
            container_id=container.id,
            user_id=container.user_id,
            generation=container.generation,
            number=container.number,
        )
        try:
            self.agents.delete(self.hosts.get(container.host_id), removal)
        except (AgentRefused, AgentUnreachable) as error:
            raise _retry("agent did not take the removal", attempt) from error


def _action(container: Container, pending: PendingPower) -> str:
    """What the host knows it by. Asked again, a start or stop is new to it, so that it tells again how things are;
    a restart is the same, so that it is done once."""
    return pending.action if pending.verb is Verb.RESTART else f"{pending.action}:{container.attempt}"


def _retry(reason: str, attempt: int) -> RetryLater:
    return RetryLater(reason, seconds=BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS)) - 1])
