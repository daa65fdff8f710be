"""Changing a container that exists: a caller and changes come in, one transaction and the commands to do it go out."""

import logging
from dataclasses import dataclass
from typing import Any

from chalicelib.contract.commands import Rename, Resize
from chalicelib.contract.statuses import Status
from chalicelib.domain.changes import Changes
from chalicelib.domain.container import Container
from chalicelib.domain.errors import Busy, HostFull, NoRoom, StaleWrite, StatusConflict
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Caller
from chalicelib.domain.items import item_of
from chalicelib.ports import HostStore
from chalicelib.services.lifecycle import Lifecycle

log = logging.getLogger("berth.reconfiguration")

TRIES = 5


@dataclass(frozen=True, slots=True)
class Reconfiguration:
    """Rename containers and give them other amounts, without a restart."""

    lifecycle: Lifecycle
    hosts: HostStore

    def change(self, caller: Caller, reference: str, changes: Changes) -> dict[str, Any]:
        """Make it so; NotFound, StatusConflict, NameTaken, NoRoom or Busy. The frames follow."""
        for _ in range(TRIES):
            container = self.lifecycle.find(caller, reference)
            try:
                after = self._changed(caller, container, changes)
            except StaleWrite:
                continue
            return self._answer(changes, container, after)
        raise Busy("record kept changing")

    def _changed(self, caller: Caller, container: Container, changes: Changes) -> Container:
        if changes.amounts and container.status not in (Status.RUNNING, Status.STOPPED):
            error = f"a container in status {container.status} cannot be given other amounts"
            raise StatusConflict(error, container.status)
        lifecycle = self.lifecycle
        wanted = changes.of(container, caller.tier, lifecycle.ids.uuid(), lifecycle.clock.now())
        if wanted is container:
            return container
        try:
            after = lifecycle.containers.reconfigure(container, wanted, self._host(container, wanted))
        except HostFull as full:
            raise NoRoom from full
        self._send(container, after)
        log.info("container changed", extra={"container": container.id, "user": container.user_id})
        return after

    def _host(self, container: Container, wanted: Container) -> Host | None:
        """The host whose room it takes or frees, if it does."""
        resized = wanted.resources != container.resources
        return self.hosts.get(container.host_id) if resized and container.host_id is not None else None

    def _send(self, before: Container, after: Container) -> None:
        ids = {"container_id": after.id, "user_id": after.user_id}
        if after.pending_rename and after.pending_rename != before.pending_rename:
            self.lifecycle.send(Rename(**ids, action=after.pending_rename))
        if after.pending_resize and after.pending_resize != before.pending_resize:
            self.lifecycle.send(Resize(**ids, action=after.pending_resize.action))

    def _answer(self, changes: Changes, before: Container, after: Container) -> dict[str, Any]:
        message = "nothing to change: the container is so already" if after is before else "container settings changed"
        item = item_of(after, self.lifecycle.clock.now())
        adjusted = changes.adjusted(after.resources)
        return {"message": message, "restarted": False, "container": item} | (
            {"adjusted": adjusted} if adjusted else {}
        )
