"""Users of a simulated world: what they ask for goes in, what they were told and saw is kept for the auditor."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.contract.agent_api import Verb
from chalicelib.domain.changes import Changes
from chalicelib.domain.errors import Busy, Refused
from chalicelib.domain.identity import Caller
from chalicelib.domain.images import ImageChoice
from chalicelib.domain.request import ContainerRequest
from chalicelib.ports import IdempotencyKey
from tests.faults.auditor import Auditor
from tests.faults.host import NOWHERE, PRESENT
from tests.faults.scheduler import Killed
from tests.faults.world import SimWorld

ANSWER_SECONDS = 29.0
TRIES = 4


class NoAnswer(Exception):
    """The request may or may not have been granted."""


@dataclass
class Client:
    """One user's program. `lossy` says whether an answer is lost on its way."""

    world: SimWorld
    caller: Caller
    random: random.Random
    lossy: Callable[[], bool] = lambda: False
    requests: int = 0
    mine: list[str] = field(default_factory=list)

    @property
    def _auditor(self) -> Auditor:
        return self.world.auditor

    def create(self, *, name: str | None = None, image: str = PRESENT, keyed: bool = True) -> str | None:
        """Ask until it is granted or refused; the container's id, or None."""
        self.requests += 1
        mark = f"{self.caller.user_id}-{self.requests}"
        request = ContainerRequest(
            image=ImageChoice(image, image, custom=image == NOWHERE), name=name, labels={"request": mark}
        )
        key = IdempotencyKey(mark, f"hash of {mark}") if keyed else None
        answer = self._insist("create", lambda: self.world.lifecycle.create(self.caller, request, key))
        if keyed:
            self._once(mark)
        if answer is None:
            return None
        if answer.replayed:
            self._auditor.tally.replayed += 1
        self._auditor.answered(answer.body)
        container_id = str(answer.body["id"])
        self._auditor.tally.creates += 1
        self._auditor.accepted[container_id] = self.world.scheduler.now
        self.mine.append(container_id)
        return container_id

    def _once(self, mark: str) -> None:
        """I7: one container per key, however often it was asked for."""
        made = [each.id for each in self.world.records.records.values() if each.labels.get("request") == mark]
        if len(made) > 1:
            self._auditor.tally.doubled += len(made) - 1
            self._auditor.find("I7", f"one key made {made}")

    def delete(self, container_id: str) -> None:
        """Ask until it is granted or gone."""
        answer = self._insist("delete", lambda: self.world.lifecycle.delete(self.caller, container_id))
        if answer is not None:
            self._auditor.answered(answer)
            self._auditor.deleted_for_users[container_id] = self.world.scheduler.now

    def power(self, container_id: str, verb: Verb) -> None:
        """Ask until it is granted or refused."""
        self._insist(verb.value, lambda: self.world.lifecycle.power(self.caller, container_id, verb))

    def change(self, container_id: str, changes: Changes) -> None:
        """Ask for another name or other amounts until it is granted or refused."""
        self._insist("change", lambda: self.world.reconfiguration.change(self.caller, container_id, changes))

    def look(self, container_id: str) -> dict[str, Any] | None:
        """The Item, or None."""
        item: dict[str, Any] | None = self._insist("get", lambda: self.world.lifecycle.get(self.caller, container_id))
        if item is not None:
            self._auditor.answered(item)
        return item

    def events(self, container_id: str, after: int) -> list[dict[str, Any]]:
        """The frames after a number."""
        answer = self._insist("events", lambda: self.world.lifecycle.events(self.caller, container_id, after))
        return [] if answer is None else list(answer["events"])

    def _insist(self, name: str, work: Callable[[], Any]) -> Any:
        """The answer, after as many tries as a patient client makes; None when refused or given up."""
        for attempt in range(TRIES):
            try:
                return self._ask(name, work)
            except NoAnswer:
                self._auditor.tally.retries += 1
                self.world.scheduler.pause(0.5 * 2**attempt)
        return None

    def _ask(self, name: str, work: Callable[[], Any]) -> Any:
        task = self.world.invoke(f"api {name}", work, ANSWER_SECONDS)
        self.world.scheduler.join(task, ANSWER_SECONDS)
        if not task.done or isinstance(task.error, Killed | Busy) or self.lossy():
            raise NoAnswer
        if isinstance(task.error, Refused):
            return None
        if task.error is not None:
            self._auditor.find("handlers", f"api {name} broke: {task.error!r}")
            return None
        return task.answer


@dataclass
class Subscriber:
    """A program that follows its user's containers over a WebSocket, as the docs say it should."""

    client: Client
    number: int
    held: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Frames by container and number."""
    connection: str = ""
    connections: int = 0
    _behind: set[str] = field(default_factory=set)

    @property
    def _world(self) -> SimWorld:
        return self.client.world

    def connect(self) -> None:
        """Open a connection; its list comes by itself."""
        self.connections += 1
        connection = f"con-{self.client.caller.user_id}-{self.number}-{self.connections}="
        task = self._world.invoke(
            "$connect", lambda: self._world.subscriptions.open(self.client.caller, connection), ANSWER_SECONDS
        )
        self._world.scheduler.join(task, ANSWER_SECONDS)
        if task.done and task.error is None:
            self._world.scheduler.pause(0.05)
            self._world.sockets.open[connection] = self._heard
            self.connection = connection

    def drop(self, *, told: bool) -> None:
        """The connection breaks; the gateway tells of it, or does not."""
        connection, self.connection = self.connection, ""
        if self._world.sockets.open.pop(connection, None) is not None and told:
            self._world.invoke("$disconnect", lambda: self._world.subscriptions.close(connection))

    def ask_for_list(self) -> None:
        """A `list` frame on the open connection."""
        connection = self.connection
        task = self._world.invoke("$default", lambda: self._world.subscriptions.receive(connection, '{"type":"list"}'))
        self._world.scheduler.join(task)

    @property
    def connected(self) -> bool:
        return self.connection in self._world.sockets.open

    def _heard(self, text: str) -> None:
        frame = json.loads(text)
        if frame["type"] == "list":
            for item in frame["container"]["containers"]:
                if item["last_seq"] > self._last(item["id"]):
                    self._behind.add(item["id"])
        elif "seq" in frame:
            self._take(frame)

    def _last(self, container_id: str) -> int:
        return max(self.held.get(container_id, {0: {}}), default=0)

    def _take(self, frame: dict[str, Any]) -> None:
        container_id, seq = frame["container"]["id"], frame["seq"]
        last = self._last(container_id)
        if seq <= last:
            self._world.auditor.tally.repeats += 1
            return
        if seq > last + 1:
            self._world.auditor.tally.gaps += 1
            self._behind.add(container_id)
        self.held.setdefault(container_id, {})[seq] = frame

    def catch_up(self) -> None:
        """Fetch what is missing of containers that are known to be behind."""
        while self._behind:
            self._fetch(min(self._behind))

    def _fetch(self, container_id: str) -> None:
        held = self.held.setdefault(container_id, {})
        after = next(number for number in range(len(held) + 1) if number + 1 not in held)
        self._behind.discard(container_id)
        for frame in self.client.events(container_id, after):
            held.setdefault(frame["seq"], frame)

    def complete(self) -> None:
        """Fetch everything of every container it has heard of (when all is over)."""
        self._behind |= set(self.held)
        self.catch_up()
