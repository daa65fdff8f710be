"""Whole lives, with everything delivered three times and in hundreds of orders: always the same end, seen the same.

Seven containers live at once: one through every change, others that fail, expire, are refused by a host and placed
anew, end by themselves, or are deleted early. Per container the queues keep their order, as SQS FIFO does; copies of
commands, of events and of the calls that create and remove come whenever they like, even after the container's end.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.contract.agent_api import Verb
from chalicelib.contract.events import ListRequested
from chalicelib.domain.changes import Changes
from chalicelib.domain.container import Container
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from tests.builders import a_caller
from tests.machines.small_cloud import SmallCloud, Work
from tests.machines.subscribers import Subscriber

ORDERS = 240
EXPIRES, MOVES = "expires", "moves"
CALLER = a_caller(tier="enterprise", user_id="user-1")
LIMITED = a_caller(tier="free", user_id="user-1")


class Lives:
    """The users' side: each life is a list of deeds, each done when the container has come to what it waits for."""

    def __init__(self, seed: int, copies: int) -> None:
        self.cloud = SmallCloud(seed, copies, frozenset({MOVES}))
        self.world = self.cloud.world
        self.ids: dict[str, str] = {}
        self.subscriber = Subscriber(CALLER.user_id, lambda each: self.world.containers.frames_after(each, 0))
        self.world.subscriptions.open(CALLER, "c-1")
        self.cloud.audience.here["c-1"] = self.subscriber
        self.world.from_control_plane(ListRequested(connection_id="c-1", user_id=CALLER.user_id))
        self.world.events.sent.clear()
        self.lives = {name: life(name) for name, life in self._lives().items()}
        self.next: dict[str, tuple[str, Work]] = {}
        for name in list(self.lives):
            self._go_on(name)

    def _lives(self) -> dict[str, Any]:
        return {
            "full": self._full,
            "fails": self._fails,
            EXPIRES: self._expires,
            MOVES: self._moves,
            "exits": self._exits,
            "early": self._early,
            "stays": self._stays,
        }

    def _full(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name)
        for verb, before in ((Verb.STOP, "running"), (Verb.START, "stopped"), (Verb.RESTART, "running")):
            yield before, lambda verb=verb: self.power(name, verb)  # type: ignore[misc]
        yield "running", lambda: self.change(name, Changes(memory_mb=512))
        yield "running", lambda: self.change(name, Changes(name="renamed"))
        yield "running", lambda: self.power(name, Verb.STOP)
        yield "stopped", lambda: self.delete(name)

    def _fails(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name, custom="ghcr.io/nobody/nowhere:1")
        yield "error", lambda: self.delete(name)

    def _expires(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name, expiring=True)

    def _moves(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name)
        yield "running", lambda: self.power(name, Verb.STOP)

    def _exits(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name)
        yield "running", lambda: self.exit(name)
        yield "stopped", lambda: self.power(name, Verb.START)

    def _early(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name)
        yield "running", lambda: self.delete(name)

    def _stays(self, name: str) -> Iterator[tuple[str, Work]]:
        yield "", lambda: self.create(name)

    def _go_on(self, name: str) -> None:
        deed = next(self.lives[name], None)
        if deed is None:
            self.next.pop(name, None)
        else:
            self.next[name] = deed

    def record(self, name: str) -> Container:
        return self.world.containers.get(CALLER.user_id, self.ids[name])

    def able(self) -> list[Work]:
        """Deeds that can be done now."""
        return [
            lambda name=name, deed=deed: (deed(), self._go_on(name))  # type: ignore[misc]
            for name, (before, deed) in self.next.items()
            if self._ready(name, before)
        ]

    def _ready(self, name: str, before: str) -> bool:
        if not before:
            return EXPIRES in (name, *self.ids)  # first, since its tier allows no more than five
        return self.record(name).status == before and not self.record(name).pending

    # Deeds.

    def create(self, name: str, *, custom: str | None = None, expiring: bool = False) -> None:
        image = choose_image("custom", custom) if custom else choose_image("debian", None)
        request = ContainerRequest(image=image, name=name, memory_mb=256, cpu_shares=250, disk_mb=1024)
        self.ids[name] = self.world.lifecycle.create(LIMITED if expiring else CALLER, request, None).body["id"]

    def power(self, name: str, verb: Verb) -> None:
        self.world.lifecycle.power(CALLER, self.ids[name], verb)

    def change(self, name: str, changes: Changes) -> None:
        self.world.reconfiguration.change(CALLER, self.ids[name], changes)

    def delete(self, name: str) -> None:
        self.world.lifecycle.delete(CALLER, self.ids[name])

    def exit(self, name: str) -> None:
        host = self.cloud.hosts[str(self.record(name).host_id)]
        found = next(each for each in host.engine.of_host(host.host_id) if each.container_id == self.ids[name])
        host.engine.die(found.engine_id, 3)
        host.keeper.relist.look()

    # What it came to.

    def run(self) -> dict[str, Any]:
        """To the end of every life, past the expiry of what expires."""
        while self.cloud.step(self.able()):
            pass
        assert not self.next, "every life has come to its end"
        heard = {name: self.heard(name) for name in self.lives}
        assert heard == {name: self.log(name) for name in self.lives}, "pushed are all, each once and in order"
        self.world.clock.advance(50 * 3600)
        self.cloud.beat()
        for host in self.cloud.hosts.values():
            host.keeper.expire()
        while self.cloud.step([]):
            pass
        return {name: self.told(name) for name in self.lives} | {"engines": self.engines()}

    def told(self, name: str) -> dict[str, Any]:
        record = self.record(name)
        kept = {"name", "status", "wanted", "generation", "seq", "number", "resources", "error", "stopped_because"}
        self.subscriber.catch_up(record.id)  # its connection ended hours before the expiry
        assert self.heard(name) == self.log(name)
        return {"record": record.model_dump(include=kept), "log": self.log(name)}

    def log(self, name: str) -> list[dict[str, Any]]:
        frames = self.world.containers.log[self.ids[name]]
        return [_plain(frame.type, frame.container, frame.seq) for frame in frames]

    def heard(self, name: str) -> list[dict[str, Any]]:
        frames = self.subscriber.heard[self.ids[name]]
        return [_plain(frame["type"], frame["container"], frame["seq"]) for frame in frames]

    def engines(self) -> list[tuple[str, int, bool]]:
        names = {container_id: name for name, container_id in self.ids.items()}
        found = [each for host in self.cloud.hosts.values() for each in host.engine.of_host(host.host_id)]
        return sorted((names[each.container_id], each.generation, each.running) for each in found)


VARIES = ("id", "db_id", "container_id", "started_at", "last_used_at", "idle_seconds", "container", "last_seq")


def _plain(kind: str, body: dict[str, Any], seq: int) -> dict[str, Any]:
    """A frame without what differs from run to run: ids and times."""
    return {"type": kind, "seq": seq} | {name: value for name, value in body.items() if name not in VARIES}


@pytest.fixture(scope="module")
def once() -> dict[str, Any]:
    """What comes of it when everything is delivered once."""
    return Lives(seed=0, copies=1).run()


def test_the_lives_are_what_they_are_called(once: dict[str, Any]) -> None:
    ends = {name: once[name]["record"]["status"] for name in once if name != "engines"}

    assert ends == {
        "full": "deleted",
        "fails": "deleted",
        EXPIRES: "deleted",
        MOVES: "stopped",
        "exits": "running",
        "early": "deleted",
        "stays": "running",
    }
    assert once[MOVES]["record"]["generation"] == 2
    assert once["engines"] == [("exits", 1, True), (MOVES, 2, False), ("stays", 1, True)]


@pytest.mark.parametrize("block", range(8))
def test_three_of_everything_in_any_order_come_to_the_same(block: int, once: dict[str, Any]) -> None:
    for seed in range(block * ORDERS // 8, (block + 1) * ORDERS // 8):
        assert Lives(seed=seed + 1, copies=3).run() == once, f"seed {seed + 1}"
