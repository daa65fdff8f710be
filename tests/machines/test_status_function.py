"""The status function under any order of everything that can reach it, legal, late, repeated or forged.

After every step: statuses move along legal edges only and sequences have no gap (I8), nothing is pushed that was not
committed (I10), subscribers hear strictly increasing numbers (I9), only the right host in the right generation changes
a record (I16), quota, names and host room are exact (I5, I6), and what is deleted stays deleted (I13).
"""

import contextlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.contract.agent_api import ContainerSpec, Verb
from chalicelib.contract.commands import Create
from chalicelib.contract.events import AboutContainer, Batch, Heartbeat, ListRequested
from chalicelib.contract.signatures import new_private_key, public_key_of, seal
from chalicelib.contract.statuses import FOLLOWS, Status
from chalicelib.domain.announcements import lost_creating, lost_running, overdue, validating
from chalicelib.domain.container import Container
from chalicelib.domain.errors import AgentUnreachable, Refused, RetryLater, UntrustedEvent
from chalicelib.domain.host import Host, Reserved
from chalicelib.domain.images import choose_image
from chalicelib.domain.request import ContainerRequest
from tests.builders import a_caller, a_report
from tests.examples import examples
from tests.fakes.world import CONTROL_KEY, World
from tests.machines.served import Served
from tests.machines.subscribers import Audience, Subscriber
from tests.machines.tellers import Teller

HOSTS = ("host-1", "host-2", "host-3")
KEYS = {host: new_private_key() for host in HOSTS}
PUBLIC = {host: public_key_of(key) for host, key in KEYS.items()}
USERS = ("user-1", "user-2")
FINAL = (Status.ERROR, Status.DELETING, Status.DELETED)

SAYINGS: dict[Status, tuple[Any, ...]] = {
    Status.CREATING: (validating, overdue, lost_creating),
    Status.RUNNING: (lost_running,),
}
"""What the control plane may say of a container in this status; it may be heard whenever."""

any_index = st.integers(0, 1000)
users = st.sampled_from(USERS)
hosts = st.sampled_from(HOSTS)


class StatusMachine(RuleBasedStateMachine):
    """Two users, three hosts; `tellers` are the hosts' sides of what they were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(hosts=len(HOSTS))
        self.served = Served(self.world)
        for host in HOSTS:
            self.world.hosts.enrol(host, PUBLIC[host])
        self.audience = Audience()
        for service in (self.world.fanout, self.world.subscriptions):
            object.__setattr__(service, "sockets", self.audience)
        object.__setattr__(self.world.fanout, "spread", lambda work, connections: [work(each) for each in connections])
        object.__setattr__(self.world.agents, "create", self._asked)
        self.losing: set[str] = set()
        self.tellers: list[Teller] = []
        self.before: dict[tuple[str, str], Container] = {}
        self.joined = 0

    # The world around: users, placements, hosts.

    @initialize(joined=st.lists(users, max_size=3), providing=st.integers(0, 4))
    def begin(self, joined: list[str], providing: int) -> None:
        for user in USERS * 2:
            self.create(user)
        for index in range(providing):
            self.provision(index)
        for user in joined:
            self.join(user)

    @rule(user=users)
    def create(self, user: str) -> None:
        request = ContainerRequest(image=choose_image("debian", None), memory_mb=256, cpu_shares=250, disk_mb=1024)
        with contextlib.suppress(Refused):
            self.world.lifecycle.create(a_caller(user_id=user), request, None)

    def containers(self) -> list[Container]:
        return list(self.world.containers.records.values())

    def some(self, index: int) -> Container:
        return self.containers()[index % len(self.containers())]

    @precondition(lambda self: self.world.containers.records)
    @rule(index=any_index)
    def provision(self, index: int) -> None:
        container = self.some(index)
        with contextlib.suppress(RetryLater):
            self.world.provisioning.carry_out(Create(container_id=container.id, user_id=container.user_id), 1)

    def _asked(self, host: Host, spec: ContainerSpec) -> None:
        """The host takes it, unless it refuses; the answer may be lost."""
        self.world.agents._check(host)
        known = [(each.host_id, each.ids["container_id"], each.ids["generation"]) for each in self.tellers]
        if (host.id, spec.container_id, spec.generation) not in known:
            self.tellers.append(Teller(host.id, spec.container_id, spec.user_id, spec.generation))
        if host.id in self.losing:
            raise AgentUnreachable(host.id)

    @rule(host=hosts, how=st.sampled_from(["takes", "refuses", "loses answers"]))
    def a_host_changes(self, host: str, how: str) -> None:
        self.world.agents.refusing.pop(host, None)
        self.losing.discard(host)
        if how == "refuses":
            self.world.agents.refusing[host] = "full"
        elif how == "loses answers":
            self.losing.add(host)

    @precondition(lambda self: self.world.containers.records)
    @rule(index=any_index, verb=st.sampled_from(Verb))
    def power(self, index: int, verb: Verb) -> None:
        container = self.some(index)
        with contextlib.suppress(Refused):
            self.world.lifecycle.power(a_caller(user_id=container.user_id), container.id, verb)

    @precondition(lambda self: self.world.containers.records)
    @rule(index=any_index)
    def delete(self, index: int) -> None:
        container = self.some(index)
        with contextlib.suppress(Refused):
            self.world.lifecycle.delete(a_caller(user_id=container.user_id), container.id)

    @rule(seconds=st.sampled_from([1, 30, 120, 1000]))
    def time_goes_by_and_the_sweeper_looks(self, seconds: int) -> None:
        self.world.clock.advance(seconds)
        for host in HOSTS:
            self.hear(seal(Heartbeat(host_id=host, report=a_report()), host, KEYS[host]))
        self.world.sweep.run()

    # What hosts and the control plane say, in any order and number.

    def hear(self, body: str) -> None:
        with contextlib.suppress(RetryLater):
            self.world.status.record(body)

    def from_host(self, teller: Teller, event: AboutContainer | Batch) -> None:
        """As its host says it; refused when the container is elsewhere by now."""
        container = self.world.containers.get(teller.ids["user_id"], event.container_id)
        with contextlib.ExitStack() as stack:
            if container.host_id != teller.host_id:
                stack.enter_context(pytest.raises(UntrustedEvent))
            self.hear(seal(event, teller.host_id, KEYS[teller.host_id]))

    @precondition(lambda self: self.tellers)
    @rule(index=any_index, choices=st.lists(st.integers(0, 19), min_size=3, max_size=12), heard=st.booleans())
    def a_host_says_what_comes_next(self, index: int, choices: list[int], heard: bool) -> None:
        teller = self.tellers[index % len(self.tellers)]
        for choice in choices:
            event = teller.tell(choice)
            if event is not None and heard:
                self.from_host(teller, event)

    @precondition(lambda self: self.tellers)
    @rule(index=any_index, choices=st.lists(st.integers(0, 19), min_size=2, max_size=9), again=st.integers(0, 3))
    def a_host_says_several_things_at_once(self, index: int, choices: list[int], again: int) -> None:
        """What comes next, behind some of what was said before."""
        teller = self.tellers[index % len(self.tellers)]
        before = teller.said[len(teller.said) - again :] if again else []
        events = [*before, *filter(None, [teller.tell(choice) for choice in choices])]
        if len(events) > 1:
            self.from_host(teller, Batch(events=events))

    @precondition(lambda self: any(len(teller.said) > 1 for teller in self.tellers))
    @rule(index=any_index, first=any_index, count=st.integers(2, 6))
    def anything_a_host_ever_said_at_once_is_heard(self, index: int, first: int, count: int) -> None:
        speaking = [teller for teller in self.tellers if len(teller.said) > 1]
        teller = speaking[index % len(speaking)]
        first %= len(teller.said) - 1
        self.from_host(teller, Batch(events=teller.said[first : first + count]))

    @precondition(lambda self: any(teller.said for teller in self.tellers))
    @rule(index=any_index, which=any_index)
    def anything_a_host_ever_said_is_heard(self, index: int, which: int) -> None:
        speaking = [teller for teller in self.tellers if teller.said]
        teller = speaking[index % len(speaking)]
        self.from_host(teller, teller.said[which % len(teller.said)])

    @precondition(lambda self: self.world.events.sent)
    @rule(which=any_index)
    def anything_the_control_plane_ever_said_is_heard(self, which: int) -> None:
        messages = self.world.events.messages
        self.control_plane(messages[which % len(messages)])

    @precondition(lambda self: self.world.containers.records)
    @rule(index=any_index, which=any_index)
    def the_control_plane_says_what_it_may(self, index: int, which: int) -> None:
        container = self.some(index)
        sayings = SAYINGS.get(container.status, ())
        if sayings:
            self.world.events.send(sayings[which % len(sayings)](container, self.world.clock.now()))
            self.control_plane(self.world.events.messages[-1])

    def control_plane(self, event: Any) -> None:
        self.hear(seal(event, "control-plane", CONTROL_KEY))

    @precondition(lambda self: any(teller.said for teller in self.tellers))
    @rule(index=any_index, which=any_index, says=hosts, key=hosts, other=st.sampled_from([-1, 0, 1]))
    def a_forgery_changes_nothing(self, index: int, which: int, says: str, key: str, other: int) -> None:
        speaking = [teller for teller in self.tellers if teller.said]
        teller = speaking[index % len(speaking)]
        event = teller.said[which % len(teller.said)]
        event = event.model_copy(update={"generation": event.generation + other, "number": event.number + 100})
        container = self.world.containers.get(event.user_id, event.container_id)
        if says == key == container.host_id and event.generation == container.generation:
            return
        before = self.served.written()

        with contextlib.suppress(UntrustedEvent):
            self.hear(seal(event, says, KEYS[key]))

        assert self.served.written() == before

    # Subscribers.

    @rule(user=users)
    def join(self, user: str) -> None:
        self.joined += 1
        connection_id = f"c-{self.joined}"
        with contextlib.suppress(Refused):
            self.world.subscriptions.open(a_caller(user_id=user), connection_id)
            self.audience.here[connection_id] = Subscriber(user, self.log)
            self.control_plane(ListRequested(connection_id=connection_id, user_id=user))

    def log(self, container_id: str) -> list[Any]:
        return self.world.containers.frames_after(container_id, 0)

    def subscriber(self, index: int) -> str:
        return list(self.audience.here)[index % len(self.audience.here)]

    @precondition(lambda self: self.audience.here)
    @rule(index=any_index, told=st.booleans())
    def leave(self, index: int, told: bool) -> None:
        connection_id = self.subscriber(index)
        del self.audience.here[connection_id]
        if told:
            self.world.subscriptions.close(connection_id)

    @precondition(lambda self: self.audience.here)
    @rule(index=any_index)
    def a_subscriber_becomes_slow_or_quick(self, index: int) -> None:
        subscriber = self.audience.here[self.subscriber(index)]
        subscriber.stuck = not subscriber.stuck

    # What holds.

    @invariant()
    def records_move_along_legal_edges(self) -> None:
        for container in self.containers():
            known = self.before.get((container.user_id, container.id), container)
            assert container.status is known.status or container.status in FOLLOWS[known.status]
            assert (container.generation, container.seq, container.version) >= (
                known.generation,
                known.seq,
                known.version,
            )
            assert container.generation > known.generation or container.number >= known.number
            assert container.progress >= known.progress
            if known.status is Status.DELETED:
                assert container == known
            assert [frame.seq for frame in self.log(container.id)] == list(range(1, container.seq + 1))
        self.before = dict(self.world.containers.records)

    @invariant()
    def counts_names_and_room_are_exact(self) -> None:
        live = [container for container in self.containers() if container.live]
        counted = {user: count for user, count in self.world.containers.live.items() if count}
        assert counted == Counter(container.user_id for container in live)
        assert all(count <= 5 for count in counted.values())
        assert self.world.containers.names == {(each.user_id, each.name): each.id for each in live}
        over = (Status.ERROR, Status.DELETED)
        assert not [each for each in self.containers() if each.reserved and each.status in over]
        for host in HOSTS:
            held = [each for each in self.containers() if each.host_id == host and each.reserved]
            assert self.world.hosts.get(host).reserved == Reserved(
                memory_mb=sum(each.resources.memory_mb for each in held),
                cpu_shares=sum(each.resources.cpu_shares for each in held),
                disk_mb=sum(each.resources.disk_mb for each in held),
                containers=len(held),
            )

    def teardown(self) -> None:
        """Everything is delivered in order once, hosts tell again what runs, subscribers catch up: all agree."""
        for teller in self.tellers:
            if teller.state == "running":
                teller.tell(1)
            for event in teller.said:
                self.from_host(teller, event)
        for teller in self.tellers:
            self.agree(teller)
        self.records_move_along_legal_edges()
        self.counts_names_and_room_are_exact()
        for subscriber in self.audience.here.values():
            self.hears_all(subscriber)

    def agree(self, teller: Teller) -> None:
        container = self.world.containers.get(str(teller.ids["user_id"]), str(teller.ids["container_id"]))
        mine = (container.host_id, container.generation) == (teller.host_id, teller.ids["generation"])
        if mine and container.status not in FINAL:
            assert container.status.value == teller.state

    def hears_all(self, subscriber: Subscriber) -> None:
        for container in self.containers():
            if container.user_id == subscriber.user_id:
                subscriber.catch_up(container.id)
                assert subscriber.last.get(container.id, 0) == container.seq


StatusMachine.TestCase.settings = settings(max_examples=examples(400), stateful_step_count=50, deadline=None)


class TestStatusFunction(StatusMachine.TestCase):
    """Run by pytest."""
