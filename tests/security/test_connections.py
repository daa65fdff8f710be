"""WebSocket connections: who may open one, and that no frame of 100,000 reaches anyone but its owner."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from chalicelib.contract.commands import Create
from chalicelib.contract.events import ListRequested, Progress, Ready, Removed, Started, Stopped
from chalicelib.contract.statuses import Stage
from chalicelib.domain.container import Container
from chalicelib.domain.errors import ConnectionGone, ConnectionStuck, RetryLater
from tests.builders import a_cause, about
from tests.fakes.world import World
from tests.machines.served import ORIGIN, Served
from tests.security.callers import NOBODY, SOMEBODY, Street, street

FRAMES = 100_000

ADMITTED = {"owner": 200, "other": 200, "guest": 200, "reader": 200, "writer": 403} | dict.fromkeys(NOBODY, 401)

WAYS = ("header", "subprotocol", "query", "ticket")


def knock(here: Street, caller: str, way: str, origin: str | None = None) -> int:
    """The status of a handshake of this caller with its token in this place."""
    token = here.tokens[caller]
    headers = {"Origin": origin} if origin else {}
    query: dict[str, str] | None = None
    if way == "header" and token is not None:
        headers["Authorization"] = f"Bearer {token}"
    elif way == "subprotocol" and token is not None:
        headers["Sec-WebSocket-Protocol"] = f"berth.v1, berth.token.{token}"
    elif way == "query" and token is not None:
        query = {"token": token}
    elif way == "ticket":
        bought = here.served("POST", "/tickets", token)
        query = {"ticket": str(bought.body.get("ticket", "none"))}
    return here.served.connect("c-1", headers=headers, query=query)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller", [*SOMEBODY, *NOBODY])
def test_a_handshake_is_admitted_as_the_table_says(caller: str, way: str) -> None:
    here = street()
    # One that may not read gets no ticket either: what it then shows is nobody's.
    expected = 401 if (caller, way) == ("writer", "ticket") else ADMITTED[caller]

    with here.served.on():
        status = knock(here, caller, way)

    assert status == expected
    assert ("c-1" in here.served.world.connections.rows) == (status == 200)


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_is_not_on_the_list_opens_nothing_with_any_token(way: str) -> None:
    here = street()

    with here.served.on():
        assert knock(here, "owner", way, origin="https://console.example.org.evil.example") == 403
        assert not here.served.world.connections.rows
        assert knock(here, "owner", way, origin=ORIGIN) == 200


def test_a_ticket_opens_one_connection_once_and_soon() -> None:
    here = street()
    served = here.served

    with served.on():
        used, late = (served("POST", "/tickets", here.tokens["owner"]).body["ticket"] for _ in range(2))

    assert [served.connect(f"c-{n}", query={"ticket": used}) for n in range(2)] == [200, 401]
    served.world.clock.advance(30)
    assert served.connect("c-3", query={"ticket": late}) == 401


def test_a_ticket_bought_with_a_token_revoked_meanwhile_opens_nothing() -> None:
    here = street()
    served = here.served

    with served.on():
        ticket = served("POST", "/tickets", here.tokens["reader"]).body["ticket"]
        token_id = next(token.id for token in served.world.tokens_store.rows.values() if token.name == "reader")
        served("DELETE", "/tokens/{token_id}", here.tokens["owner"], path={"token_id": token_id})
        served.world.clock.advance(29.9)
        served.world.tokens.cache._known.clear()  # another process of the function answers

    assert served.connect("c-1", query={"ticket": ticket}) == 401


class OwnersOnly:
    """Sockets that look at every frame: whose containers are in it, and whose connection it goes to."""

    def __init__(self, faults: random.Random) -> None:
        self.owner_of_connection: dict[str, str] = {}
        self.owner_of_container: dict[str, str] = {}
        self.pushed: Counter[str] = Counter()
        self.faults = faults

    def send(self, connection_id: str, text: str) -> None:
        if self.faults.random() < 0.001:
            raise ConnectionStuck(connection_id)
        if connection_id not in self.owner_of_connection:
            raise ConnectionGone(connection_id)
        owner = self.owner_of_connection[connection_id]
        frame = json.loads(text)
        self.pushed[frame["type"]] += 1
        told: list[dict[str, Any]] = frame["container"].get("containers", [frame["container"]])
        for item in told:
            assert self.owner_of_container[item["id"]] == owner
            assert item.get("user_id", owner) == owner

    def close(self, connection_id: str) -> None:
        self.owner_of_connection.pop(connection_id, None)


class Crowd:
    """Users with many connections each, whose containers change all the time."""

    def __init__(self) -> None:
        self.choose = random.Random(52)
        self.world = World(hosts=3)
        self.sockets = OwnersOnly(random.Random(53))
        self.served = Served(self.world)
        for service in (self.world.fanout, self.world.subscriptions, self.world.tokens):
            object.__setattr__(service, "sockets", self.sockets)
        self.tokens = [self.served.user("pro"), self.served.user("pro"), self.served.user("free")]
        self.containers: list[tuple[str, str, str]] = []
        self.numbers: Counter[str] = Counter()
        self._opened = 0

    def open(self) -> None:
        """One more connection, welcomed; refused when its user has ten already."""
        self._opened += 1
        connection_id = f"c-{self._opened}"
        headers = {"Authorization": f"Bearer {self.choose.choice(self.tokens)}"}
        if self.served.connect(connection_id, headers=headers) == 200:
            requested = self.world.events.messages[-1]
            self.sockets.owner_of_connection[connection_id] = requested.user_id
            while not self._welcomed(requested):
                pass

    def _welcomed(self, requested: ListRequested) -> bool:
        """False when the list could not be written this time: the queue brings the request again."""
        try:
            self.world.from_control_plane(requested)
        except RetryLater:
            return False
        return True

    def leave(self) -> None:
        """A connection ends and nobody says so."""
        if self.sockets.owner_of_connection:
            del self.sockets.owner_of_connection[self.choose.choice(list(self.sockets.owner_of_connection))]

    def create(self, token: str) -> None:
        """One more container, placed; refused when its user has too many."""
        body = {"image": "debian", "memory_mb": 256, "cpu_shares": 250, "disk_mb": 1024}
        answer = self.served("POST", "/containers", token, body=body)
        if answer.status == 202:
            user_id, container_id = answer.body["user_id"], answer.body["id"]
            self.containers.append((token, user_id, container_id))
            self.sockets.owner_of_container[container_id] = user_id
            self.world.provisioning.carry_out(Create(container_id=container_id, user_id=user_id), 1)

    def delete(self) -> None:
        """Some container goes, to its last event."""
        token, user_id, container_id = chosen = self.choose.choice(self.containers)
        container = self.world.containers.get(user_id, container_id)
        path = {"container_id": container_id}
        assert self.served("DELETE", "/containers/{container_id}", token, path=path).status == 200
        self.containers.remove(chosen)
        said = about(container, self.numbers[container_id] + 1)
        self.world.from_host(Removed(**said, cause=a_cause()), str(container.host_id))

    def change(self) -> None:
        """The next thing happens to some container."""
        _, user_id, container_id = self.choose.choice(self.containers)
        container = self.world.containers.get(user_id, container_id)
        self.numbers[container_id] += 1
        said = about(container, self.numbers[container_id])
        self.world.from_host(_next(container, said), str(container.host_id))

    def deed(self) -> None:
        """Mostly changes; now and then someone comes or goes."""
        dice = self.choose.random()
        if dice < 0.01 or not self.containers:
            self.create(self.choose.choice(self.tokens))
        elif dice < 0.015:
            self.delete()
        elif dice < 0.03:
            self.leave()
        elif dice < 0.07:
            self.open()
        else:
            self.change()


def _next(container: Container, said: dict[str, Any]) -> Progress | Ready | Started | Stopped:
    if container.status == "running":
        return Stopped(**said, cause=a_cause())
    if container.status == "stopped":
        return Started(**said, started_at=said["at"])
    if container.progress < 60:
        return Progress(**said, stage=Stage.PULLING, progress=max(15, container.progress + 5), message="m")
    return Ready(**said, engine_id=f"{container.id:0>64}", started_at=said["at"])


def test_of_a_hundred_thousand_frames_none_reaches_another_user() -> None:
    crowd = Crowd()

    with crowd.served.on():
        while crowd.sockets.pushed.total() < FRAMES:
            crowd.deed()

    assert {"list", "progress", "updated", "started", "stopped", "deleted"} <= crowd.sockets.pushed.keys()
    assert len(set(crowd.sockets.owner_of_container.values())) == len(crowd.tokens)
