"""A user's containers: a caller and a wish come in, answers of the contract or a refusal go out."""

import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.commands import Command, Create, Delete, Power
from chalicelib.contract.statuses import Status
from chalicelib.domain import catalogue
from chalicelib.domain.announcements import BY_USER
from chalicelib.domain.container import Container, PendingPower
from chalicelib.domain.errors import Busy, NameTaken, NotFound, StaleWrite, StatusConflict
from chalicelib.domain.identity import Caller
from chalicelib.domain.items import accepted_answer, frame_body, item_of, listing
from chalicelib.domain.names import generated_name
from chalicelib.domain.request import FIRST_LOOK, ContainerRequest
from chalicelib.ports import Clock, CommandQueue, ContainerStore, IdempotencyKey, Ids, Rate

log = logging.getLogger("berth.lifecycle")

NAME_TRIES = 5
DELETE_TRIES = 5
POLL_SECONDS = 0.25

_DONE = {Verb.START: "started", Verb.STOP: "stopped", Verb.RESTART: "restarted"}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENGINE_ID = re.compile(r"[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class Answered:
    """The body of a 202, and whether it is the first answer given again."""

    body: dict[str, Any]
    replayed: bool


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Create, read and delete containers."""

    containers: ContainerStore
    commands: CommandQueue
    clock: Clock
    ids: Ids
    rate: Rate

    def create(self, caller: Caller, request: ContainerRequest, key: IdempotencyKey | None) -> Answered:
        """Accept a container, or raise RateLimited, LimitReached, NameTaken, KeyReused or Busy."""
        if request.name is not None:
            return self._accept(caller, request, request.name, key)
        for _ in range(NAME_TRIES):
            try:
                return self._accept(caller, request, generated_name(self.ids.choice), key)
            except NameTaken:
                continue
        raise Busy("no free name found")

    def _accept(self, caller: Caller, request: ContainerRequest, name: str, key: IdempotencyKey | None) -> Answered:
        container = request.container(self.ids.uuid(), name, caller, self.clock.now())
        answer = accepted_answer(container, caller, request.adjusted(caller.tier))
        limit = catalogue.tiers()[caller.tier].containers
        replayed = self.containers.create(container, limit, self.rate, key, answer)
        if replayed is not None:
            return Answered(replayed.answer, replayed=True)
        self.send(Create(container_id=container.id, user_id=caller.user_id))
        log.info("container accepted", extra={"container": container.id, "user": caller.user_id})
        return Answered(answer, replayed=False)

    def refuse(self, caller: Caller) -> None:
        """Count a creation that was refused for its body; RateLimited takes precedence over the reason."""
        self.containers.charge_create(caller.user_id, self.rate, self.clock.now())

    def list(
        self, caller: Caller, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> dict[str, Any]:
        """The caller's containers, newest first; a page with `next_cursor` when `limit` is given and more follow."""
        containers = self.containers.of_user(caller.user_id)
        chosen = [each for each in containers if status is None or each.status == status]
        page, following = _page(chosen, limit, cursor)
        body = listing(page, catalogue.tiers()[caller.tier].containers, self.clock.now())
        return body | ({"next_cursor": following} if following else {})

    def get(self, caller: Caller, reference: str) -> dict[str, Any]:
        """The Item, or NotFound; `reference` is the id, the engine id or at least 12 characters of that."""
        return item_of(self.find(caller, reference), self.clock.now())

    def wait(self, caller: Caller, reference: str, status: str, seconds: float) -> dict[str, Any]:
        """The Item once it has that status or has come to an end, or as it is when the seconds are over."""
        container = self.find(caller, reference)
        until = self.clock.now() + timedelta(seconds=seconds)
        while container.status not in (status, "error") and self.clock.now() < until:
            self.clock.sleep(POLL_SECONDS)
            container = self.find(caller, container.id)
        return item_of(container, self.clock.now())

    def delete(self, caller: Caller, reference: str) -> dict[str, Any]:
        """Give up the container: from now on it is a 404, its name and place are free; or NotFound."""
        for _ in range(DELETE_TRIES):
            container = self.find(caller, reference)
            try:
                self.containers.begin_delete(container, self.clock.now(), BY_USER)
            except StaleWrite:
                continue
            self.send(Delete(container_id=container.id, user_id=caller.user_id))
            log.info("container deletion accepted", extra={"container": container.id, "user": caller.user_id})
            ids = {"id": container.id, "db_id": container.id, "name": container.name}
            return {"message": "container deleted"} | ids
        raise Busy("record kept changing")

    def power(self, caller: Caller, reference: str, verb: Verb) -> dict[str, Any]:
        """Have it started, stopped or restarted; nothing when it is so already. StatusConflict while it cannot be."""
        for _ in range(DELETE_TRIES):
            container = self.find(caller, reference)
            if container.status not in (Status.RUNNING, Status.STOPPED):
                raise StatusConflict(f"a container in status {container.status} cannot {verb}", container.status)
            target = Status.STOPPED if verb is Verb.STOP else Status.RUNNING
            try:
                if verb is Verb.RESTART or not _settled(container, verb, target):
                    self._ask(container, verb, target)
            except StaleWrite:
                continue
            ids = {"id": container.id, "name": container.name}
            return {"message": f"container {_DONE[verb]}", **ids, "status": target.value}
        raise Busy("record kept changing")

    def _ask(self, container: Container, verb: Verb, target: Status) -> None:
        """Note it, so that it is not lost whatever happens next, and send it."""
        pending = PendingPower(verb=verb, action=self.ids.uuid())
        due_at = container.look_at(self.clock.now() + FIRST_LOOK)
        self.containers.want(container, target, pending, due_at)
        ids = {"container_id": container.id, "user_id": container.user_id}
        self.send(Power(**ids, verb=verb, action=pending.action))

    def events(self, caller: Caller, reference: str, after: int) -> dict[str, Any]:
        """Every frame with a higher number: what a subscriber may have missed, its end included."""
        container = self.find(caller, reference, ended=True)
        frames = self.containers.frames_after(container.id, after)
        return {"events": [frame_body(frame) for frame in frames], "last_seq": container.seq}

    def find(self, caller: Caller, reference: str, *, ended: bool = False) -> Container:
        """The container, live or (by its id) also `ended`; NotFound otherwise."""
        reference = reference.lower()
        if _UUID.fullmatch(reference):
            container = self.containers.get(caller.user_id, reference)
            if container.live or ended:
                return container
        elif _ENGINE_ID.fullmatch(reference):
            for each in self.containers.of_user(caller.user_id):
                if each.engine_id and each.engine_id.startswith(reference):
                    return each
        raise NotFound("container not found")

    def send(self, command: Command) -> None:
        """What cannot be sent now is due already, and the sweeper sends it (M1)."""
        try:
            self.commands.send(command)
        except Busy:
            log.warning("command left to the sweeper", extra={"container": command.container_id})


def _settled(container: Container, verb: Verb, target: Status) -> bool:
    """Whether it is so already, or about to be."""
    pending = container.pending_power
    return container.status is target if pending is None else pending.verb is verb


def _page(containers: "list[Container]", limit: int | None, cursor: str | None) -> "tuple[list[Container], str | None]":
    ids = [each.id for each in containers]
    start = ids.index(cursor) + 1 if cursor in ids else 0
    rest = containers[start:]
    if limit is None or len(rest) <= limit:
        return rest, None
    return rest[:limit], rest[limit - 1].id
