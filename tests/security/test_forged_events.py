"""Whoever says whatever of whichever container: only its own host's word, of its present generation, counts (I16)."""

import base64
import contextlib
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.contract.agent_api import Held
from chalicelib.contract.commands import Create
from chalicelib.contract.events import (
    Claimed,
    Created,
    Event,
    Failed,
    Heartbeat,
    Inventory,
    ListRequested,
    Progress,
    Ready,
    Removed,
    Started,
    Stopped,
)
from chalicelib.contract.signatures import (
    CONTROL_PLANE,
    BadSignature,
    new_private_key,
    parse_envelope,
    public_key_of,
    seal,
)
from chalicelib.contract.statuses import Stage
from chalicelib.domain.container import Container
from chalicelib.domain.errors import UntrustedEvent
from tests.builders import NOW, a_caller, a_cause, a_container, a_report
from tests.examples import examples
from tests.fakes.world import CONTROL_KEY, World
from tests.machines.served import Served

HOSTS = ("host-1", "host-2", "host-3")
USERS = ("user-1", "user-2")
KEYS = {host: new_private_key() for host in HOSTS} | {CONTROL_PLANE: CONTROL_KEY, "stranger": new_private_key()}
PUBLIC = {host: public_key_of(KEYS[host]) for host in HOSTS}
SIGNERS = st.sampled_from(list(KEYS))

KINDS: dict[type[Any], dict[str, Any]] = {
    Progress: {"stage": Stage.PULLING, "progress": 40, "message": "m"},
    Created: {"engine_id": "e" * 64},
    Ready: {"engine_id": "e" * 64, "started_at": NOW},
    Claimed: {"engine_id": "e" * 64, "started_at": NOW, "passed": []},
    Failed: {"cause": a_cause()},
    Stopped: {"cause": a_cause()},
    Started: {"started_at": NOW},
    Removed: {"cause": a_cause()},
}
CHANGE_A_CREATION = (Progress, Created, Ready, Claimed, Failed, Stopped, Removed)


class Scene:
    """Two users' containers on hosts of their own, the second placed anew, each user with a subscriber."""

    def __init__(self) -> None:
        self.served = Served(World(hosts=len(HOSTS)))
        self.world = self.served.world
        for host in HOSTS:
            self.world.hosts.enrol(host, PUBLIC[host])
        self.containers = [self._placed(user, host) for user, host in zip(USERS, HOSTS, strict=False)]

    def _placed(self, user_id: str, host_id: str) -> Container:
        """Refused by the last host, if it is the second user's, and placed on this one."""
        world = self.world
        container = a_container(user_id=user_id)
        world.containers.create(container, 5, world.lifecycle.rate, None, {})
        if user_id == USERS[1]:
            refusing = world.containers.place(container, world.hosts.get(HOSTS[-1]), NOW)
            container = world.containers.unplace(refusing)
        world.containers.place(container, world.hosts.get(host_id), NOW)
        world.provisioning.carry_out(Create(container_id=container.id, user_id=user_id), 1)
        world.subscriptions.open(a_caller(user_id=user_id), f"c-{user_id}")
        world.from_control_plane(world.events.messages[-1])
        return world.containers.get(user_id, container.id)

    def hear(self, body: str) -> bool:
        """Whether hearing this changed anything at all; a forgery is refused or ignored, never an error."""
        before = self.served.written()
        with contextlib.suppress(UntrustedEvent):
            self.world.status.record(body)
        return self.served.written() != before


def test_of_a_container_only_its_host_and_the_control_plane_are_heard_each_under_its_own_key() -> None:
    heard: Counter[bool] = Counter()

    @settings(max_examples=examples(600), deadline=None)
    @given(
        which=st.integers(0, 1),
        kind=st.sampled_from(list(KINDS)),
        says=SIGNERS,
        key=SIGNERS,
        generation=st.integers(-1, 3),
        number=st.integers(0, 3),
        owner=st.sampled_from(USERS),
    )
    def check(*, which: int, kind: type[Any], says: str, key: str, generation: int, number: int, owner: str) -> None:
        scene = Scene()
        container = scene.containers[which]
        event = kind(
            container_id=container.id, user_id=owner, generation=generation, number=number, at=NOW, **KINDS[kind]
        )
        entitled = key == says and says in (container.host_id, CONTROL_PLANE)
        meant = generation == container.generation and owner == container.user_id

        changed = scene.hear(seal(event, says, KEYS[key]))

        heard[changed] += 1
        if not (entitled and meant):
            assert not changed
        elif kind in CHANGE_A_CREATION:
            assert changed

    check()
    for which, container in enumerate(Scene().containers):
        for kind in CHANGE_A_CREATION:
            scene = Scene()
            event = _of(scene.containers[which], kind)
            assert scene.hear(seal(event, str(container.host_id), KEYS[str(container.host_id)])), kind
    assert heard[False]


def _of(container: Container, kind: type[Any]) -> Event:
    ids = {"container_id": container.id, "user_id": container.user_id, "generation": container.generation}
    event: Event = kind(**ids, number=1, at=NOW, **KINDS[kind])
    return event


@settings(max_examples=examples(300), deadline=None)
@given(says=SIGNERS, key=SIGNERS, of=st.sampled_from(HOSTS), what=st.sampled_from(["heartbeat", "inventory", "list"]))
def test_a_host_speaks_for_itself_only_and_asks_for_no_lists(says: str, key: str, of: str, what: str) -> None:
    scene = Scene()
    held = [
        Held(container_id=each.id, user_id=each.user_id, generation=9, running=True, age_seconds=1e6)
        for each in scene.containers
    ]
    told: dict[str, Event] = {
        "heartbeat": Heartbeat(host_id=of, report=a_report(draining=True, max_containers=1)),
        "inventory": Inventory(host_id=of, containers=held),
        "list": ListRequested(connection_id="c-user-1", user_id="user-2"),
    }
    entitled = key == says == (CONTROL_PLANE if what == "list" else of)

    changed = scene.hear(seal(told[what], says, KEYS[key]))

    assert entitled or not changed
    assert changed or not (entitled and what == "heartbeat")
    assert "list" not in [frame["type"] for frame in scene.world.sockets.heard["c-user-1"][1:]]


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_one_changed_character_makes_a_signed_event_worthless(data: st.DataObject) -> None:
    scene = Scene()
    container = scene.containers[0]
    body = seal(_of(container, Ready), str(container.host_id), KEYS[str(container.host_id)])
    at = data.draw(st.integers(0, len(body) - 1), label="at")
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126), label="other")
    altered = body[:at] + other + body[at + 1 :]

    assert scene.hear(altered) == (_meaning(altered) == _meaning(body))


def _meaning(body: str) -> Any:
    """What an envelope says, however it is written, or None when it is none."""
    with contextlib.suppress(BadSignature, ValueError):
        envelope = parse_envelope(body)
        return envelope.signer, envelope.event, base64.urlsafe_b64decode(envelope.signature)
    return None
