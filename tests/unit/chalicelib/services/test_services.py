"""Services over fakes: placing, recording, pushing, sweeping, and who may do what."""

from datetime import timedelta

import pytest

from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Create, Delete
from chalicelib.contract.events import Created, Failed, Heartbeat, ListRequested, Progress, Removed, Started
from chalicelib.contract.signatures import CONTROL_PLANE, new_private_key, seal
from chalicelib.contract.statuses import Stage, Status
from chalicelib.domain.errors import NotFound, RetryLater, Unauthorized, UntrustedEvent
from chalicelib.domain.identity import Scope
from tests.builders import NOW, USER, a_caller, a_cause, a_report, about
from tests.fakes.world import HOST_KEY, World
from tests.unit.chalicelib.services.steps import accepted, again, placed, provision, ready, running, subscribed


def test_a_create_is_placed_announced_and_handed_to_the_hosts_agent() -> None:
    world = World()

    container = placed(world, name="web")

    assert container.host_id == "host-1"
    assert world.hosts.get("host-1").reserved.containers == 1
    [(host_id, spec)] = world.agents.created
    assert (host_id, spec.container_id, spec.image, spec.name) == ("host-1", container.id, "debian:bookworm", "web")
    assert spec.create_seconds == 110
    assert [event.stage for event in world.events.messages] == [Stage.VALIDATING]


def test_a_create_delivered_again_goes_to_the_same_host() -> None:
    world = World(hosts=3)
    container = placed(world)

    for _ in range(3):
        provision(world)

    assert {host_id for host_id, _ in world.agents.created} == {container.host_id}
    assert sum(host.reserved.containers for host in world.hosts.candidates()) == 1


def test_a_host_that_refuses_is_left_for_another_with_a_new_generation() -> None:
    world = World(hosts=3)
    world.agents.refusing = {"host-1": "draining", "host-2": "full"}

    for _ in range(5):
        container = placed(world)
        assert container.host_id == "host-3"
        assert world.agents.created[-1][1].generation == container.generation <= 3

    assert world.hosts.get("host-1").reserved.containers == 0
    assert world.hosts.get("host-2").reserved.containers == 0


def test_a_host_that_does_not_answer_is_asked_again_and_no_other() -> None:
    world = World(hosts=2)
    world.agents.unreachable = {"host-1", "host-2"}
    container = accepted(world)
    with pytest.raises(RetryLater) as later:
        provision(world)
    first = again(world, container).host_id
    world.agents.unreachable = set()

    provision(world, attempt=2)

    assert later.value.seconds == 1
    assert world.agents.created[0][0] == first


def test_a_host_that_fails_one_container_is_the_last_choice_for_others_for_some_minutes() -> None:
    world = World(hosts=2)
    world.agents.unreachable = {"host-1", "host-2"}
    first = accepted(world)
    with pytest.raises(RetryLater):
        provision(world)
    failing = again(world, first).host_id
    world.agents.unreachable = set()

    others = {placed(world).host_id for _ in range(4)}
    world.clock.advance(300)

    assert failing is not None
    assert others == {"host-1", "host-2"} - {failing}
    assert not world.hosts.get(failing).failing(world.clock.now())


def test_a_placement_reads_one_group_of_a_small_fleet_and_two_of_a_large_one() -> None:
    for groups, reads in ((1, 1), (5, 2)):
        world = World(hosts=40)
        world.hosts.groups = groups

        placed(world)

        assert world.hosts.read == reads


def test_without_a_host_it_waits_longer_each_time_until_the_deadline() -> None:
    world = World(hosts=0)
    container = accepted(world)
    pauses = []
    for attempt in range(1, 8):
        with pytest.raises(RetryLater) as later:
            provision(world, attempt)
        pauses.append(later.value.seconds)

    world.clock.advance(171)
    provision(world, 8)

    assert pauses == [1, 2, 4, 8, 16, 32, 32]
    failed = world.events.messages[-1]
    assert isinstance(failed, Failed)
    assert failed.cause.code is Code.NO_CAPACITY
    world.from_control_plane(failed)
    assert again(world, container).status is Status.ERROR


def test_a_create_that_is_no_longer_wanted_does_nothing() -> None:
    world = World()
    container = accepted(world)
    create = world.commands.messages[-1]
    world.lifecycle.delete(a_caller(), container.id)

    world.provisioning.carry_out(create, 1)
    world.provisioning.carry_out(Create(container_id="unknown", user_id=USER), 1)

    assert world.agents.created == []


def test_deleting_what_was_never_placed_ends_it_at_once() -> None:
    world = World()
    container = accepted(world)
    world.lifecycle.delete(a_caller(), container.id)
    provision(world)

    world.from_control_plane(world.events.messages[-1])

    assert again(world, container).status is Status.DELETED
    assert world.containers.live[USER] == 0


def test_a_host_that_forgot_a_container_numbers_its_removal_after_what_was_heard() -> None:
    world = World()
    container = running(world)
    world.lifecycle.delete(a_caller(), container.id)
    provision(world)

    [(_, removal)] = world.agents.deleted

    assert removal.number == container.number > 0


def test_deleting_what_is_placed_asks_its_host_and_ends_when_the_host_says_so() -> None:
    world = World()
    container = placed(world)
    world.lifecycle.delete(a_caller(), container.id)
    provision(world)
    assert world.agents.deleted[0][1].container_id == container.id
    assert world.hosts.get("host-1").reserved.containers == 1

    world.from_host(Removed(**about(container, 1), cause=a_cause()))

    assert again(world, container).status is Status.DELETED
    assert world.hosts.get("host-1").reserved.containers == 0


def test_a_command_that_cannot_be_sent_is_left_to_the_sweeper() -> None:
    world = World()
    world.commands.down = True
    container = accepted(world)
    world.commands.down = False
    assert world.commands.sent == []

    assert world.sweep.run() == 0
    world.clock.advance(6)
    assert world.sweep.run() == 1

    assert world.commands.sent == [(Create(container_id=container.id, user_id=USER), 1)]
    assert world.sweep.run() == 0


def test_the_sweeper_ends_what_is_overdue() -> None:
    world = World()
    container = placed(world)
    world.clock.advance(171)
    world.sweep.run()

    world.from_control_plane(world.events.messages[-1])

    assert again(world, container).error is not None
    assert again(world, container).error.code is Code.TIMEOUT  # type: ignore[union-attr]


def test_the_sweeper_drives_deletions_and_removes_old_errors_and_expired_ones() -> None:
    world = World()
    deleting, failed, expired = placed(world), placed(world), placed(world)
    world.lifecycle.delete(a_caller(), deleting.id)
    world.from_host(Failed(**about(failed, 1), cause=a_cause()))
    world.from_host(ready(expired))
    world.commands.sent.clear()

    world.clock.advance(180_001)
    world.sweep.run()

    deletes = {message.container_id for message in world.commands.messages if isinstance(message, Delete)}
    assert deletes == {deleting.id, failed.id, expired.id}
    assert world.containers.live[USER] == 0


def test_what_runs_on_a_silent_host_is_told_as_lost_and_follows_when_it_is_back() -> None:
    world = World()
    running, creating = placed(world), placed(world)
    world.from_host(ready(running))
    heard = subscribed(world)
    assert world.leases.run() == 0
    world.events.sent.clear()
    world.clock.advance(61)

    assert world.leases.run() == 2
    for event in world.events.messages:
        world.from_control_plane(event)

    assert again(world, running).status is Status.STOPPED
    assert again(world, running).stopped_because.code is Code.HOST_LOST  # type: ignore[union-attr]
    assert again(world, creating).error.code is Code.HOST_LOST  # type: ignore[union-attr]
    assert [frame["type"] for frame in heard] == ["stopped", "progress", "updated"]
    assert world.leases.run() == 0
    world.from_host(Started(**about(running, 2), started_at=NOW))
    assert again(world, running).status is Status.RUNNING


def test_when_many_hosts_fall_silent_at_once_nothing_is_ended() -> None:
    world = World(hosts=9)
    containers = [placed(world) for _ in range(4)]
    for container in containers:
        world.from_host(ready(container), str(container.host_id))
    world.clock.advance(61)
    for number in range(1, 8):
        world.hosts.heartbeat(f"host-{number}", a_report(), world.clock.now())

    assert world.leases.run() == 0

    world.hosts.heartbeat("host-8", a_report(), world.clock.now())
    lost = [each for each in containers if each.host_id == "host-9"]
    assert world.leases.run() == len(lost)


def test_frames_go_to_the_owner_and_to_nobody_else() -> None:
    world = World()
    mine, theirs = subscribed(world), subscribed(world, "con-2", "somebody-else")
    container = placed(world)

    world.from_host(ready(container))

    assert [frame["type"] for frame in mine] == ["progress", "updated"]
    assert [frame["seq"] for frame in mine] == [1, 2]
    assert theirs == []


def test_an_event_delivered_again_is_pushed_again_and_written_once() -> None:
    world = World()
    heard = subscribed(world)
    container = placed(world)

    for _ in range(3):
        world.from_host(ready(container))

    assert [frame["seq"] for frame in heard] == [1, 2, 1, 2, 1, 2]
    assert again(world, container).seq == 2
    assert len(world.containers.frames_after(container.id, 0)) == 2


def test_a_connection_that_is_gone_is_forgotten_and_the_others_still_hear() -> None:
    world = World()
    gone, stuck, well = (subscribed(world, name) for name in ("gone", "stuck", "well"))
    world.sockets.gone, world.sockets.stuck = {"gone"}, {"stuck"}

    world.from_host(ready(placed(world)))

    assert [len(each) for each in (gone, stuck, well)] == [0, 0, 2]
    assert set(world.connections.rows) == {"stuck", "well"}


def test_an_event_of_a_host_that_does_not_have_the_container_is_refused() -> None:
    world = World(hosts=2)
    container = placed(world)
    other = "host-2" if container.host_id == "host-1" else "host-1"

    with pytest.raises(UntrustedEvent):
        world.from_host(ready(container), other)

    assert again(world, container).status is Status.CREATING


@pytest.mark.parametrize("signer", ["host-1", CONTROL_PLANE, "nobody"])
def test_a_forged_signature_is_refused(signer: str) -> None:
    world = World()
    container = placed(world)
    forged = seal(ready(container), signer, new_private_key())

    with pytest.raises(UntrustedEvent):
        world.status.record(forged)
    with pytest.raises(UntrustedEvent):
        world.status.record(forged.replace("ready", "Ready"))
    with pytest.raises(UntrustedEvent):
        world.status.record("nonsense")


def test_a_host_speaks_for_itself_alone() -> None:
    world = World(hosts=2)

    with pytest.raises(UntrustedEvent):
        world.from_host(Heartbeat(host_id="host-2", report=a_report()), "host-1")
    with pytest.raises(UntrustedEvent):
        world.from_host(ListRequested(connection_id="c", user_id=USER), "host-1")


def test_a_heartbeat_renews_the_lease_by_the_receivers_clock() -> None:
    world = World()
    world.clock.advance(50)

    world.from_host(Heartbeat(host_id="host-1", report=a_report(memory_mb=77)))

    assert world.hosts.get("host-1").received_at == NOW + timedelta(seconds=50)
    assert world.hosts.get("host-1").report.memory_mb == 77  # type: ignore[union-attr]


def test_the_list_is_strictly_the_first_frame() -> None:
    world = World()
    container = placed(world)
    world.subscriptions.open(a_caller(), "con-1")

    world.from_host(Progress(**about(container, 1), stage=Stage.PULLING, progress=30, message="m"))
    assert "con-1" not in world.sockets.heard
    world.from_control_plane(world.events.messages[-1])
    world.from_host(ready(container, 2))

    heard = world.sockets.heard["con-1"]
    assert [frame["type"] for frame in heard] == ["list", "progress", "updated"]
    assert heard[0]["container"]["containers"][0]["last_seq"] == 1
    assert [frame["seq"] for frame in heard[1:]] == [2, 3]


def test_what_happens_while_the_list_is_sent_is_not_missed() -> None:
    world = World()
    container = placed(world)
    world.subscriptions.open(a_caller(), "con-1")
    events = [ready(container)]
    world.sockets.on_send = lambda _id: world.from_host(events.pop()) if events else None

    world.subscriptions.welcome(USER, "con-1")

    heard = world.sockets.heard["con-1"]
    assert [frame["type"] for frame in heard] == ["list", "progress", "updated"]


def test_a_deletion_while_the_list_is_sent_is_not_missed() -> None:
    world = World()
    container = placed(world)
    world.subscriptions.open(a_caller(), "con-1")
    events = [Removed(**about(container, 1), cause=a_cause())]
    world.sockets.on_send = lambda _id: world.from_host(events.pop()) if events else None

    world.subscriptions.welcome(USER, "con-1")

    assert [frame["type"] for frame in world.sockets.heard["con-1"]] == ["list", "deleted"]


def test_a_connection_that_is_still_being_opened_gets_its_list_a_little_later() -> None:
    world = World()
    world.subscriptions.open(a_caller(), "con-1")
    world.sockets.gone = {"con-1"}

    with pytest.raises(RetryLater):
        world.subscriptions.welcome(USER, "con-1")

    world.sockets.gone = set()
    world.subscriptions.welcome(USER, "con-1")
    assert [frame["type"] for frame in world.sockets.heard["con-1"]] == ["list"]


def test_a_connection_that_closed_before_its_list_is_forgotten() -> None:
    world = World()
    world.subscriptions.open(a_caller(), "con-1")
    world.sockets.gone = {"con-1"}
    world.clock.advance(11)

    world.subscriptions.welcome(USER, "con-1")

    assert world.connections.rows == {}


def test_a_list_asked_for_in_anothers_name_is_not_given() -> None:
    world = World()
    world.subscriptions.open(a_caller(), "con-1")

    world.subscriptions.welcome("somebody-else", "con-1")

    assert world.sockets.heard == {}


def test_the_fifth_bad_frame_in_a_row_closes() -> None:
    world = World()
    heard = subscribed(world)
    for text in ("x", "x", "x", "x", '{"type":"ping"}', "x", "x", "x", "x"):
        world.subscriptions.receive("con-1", text)
    assert world.sockets.closed == []

    world.subscriptions.receive("con-1", "x")

    assert world.sockets.closed == ["con-1"]
    assert world.connections.rows == {}
    assert [frame["type"] for frame in heard].count("error") == 9


def test_a_frame_on_a_connection_we_do_not_know_closes_it() -> None:
    world = World()

    world.subscriptions.receive("stranger", '{"type":"list"}')

    assert world.sockets.closed == ["stranger"]


def a_secret(world: World, tier: str = "free") -> str:
    return str(world.tokens.first_of_user(tier, (Scope.READ, Scope.WRITE), "t")["token"])


def test_a_token_is_asked_for_once_in_thirty_seconds() -> None:
    world = World()
    secret = a_secret(world)

    for _ in range(5):
        world.tokens.caller(secret)
    assert world.tokens_store.reads == 1
    world.clock.advance(30)
    world.tokens.caller(secret)

    assert world.tokens_store.reads == 2


def test_a_revoked_token_is_refused_within_thirty_seconds_and_its_sockets_closed_at_once() -> None:
    world = World()
    secret = a_secret(world)
    caller = world.tokens.caller(secret)
    [token] = world.tokens_store.of_user(caller.user_id)
    world.subscriptions.open(caller, "con-1")

    world.tokens.revoke(caller, token.id)
    world.clock.advance(30)

    assert world.sockets.closed == ["con-1"]
    with pytest.raises(Unauthorized):
        world.tokens.caller(secret)


def test_an_expired_token_is_refused_and_never_stored_in_clear() -> None:
    world = World()
    secret = a_secret(world)
    world.tokens.caller(secret)
    world.clock.advance(90 * 86400)

    with pytest.raises(Unauthorized):
        world.tokens.caller(secret)
    assert secret not in repr(world.tokens_store.rows)


def test_a_ticket_is_good_once_and_for_thirty_seconds() -> None:
    world = World()
    caller = world.tokens.caller(a_secret(world))
    ticket, late = (world.tokens.ticket(caller)["ticket"] for _ in range(2))

    assert world.tokens.caller_of_ticket(ticket) == caller
    world.clock.advance(30)

    for used in (ticket, late, "ticket_nonsense", ""):
        with pytest.raises(Unauthorized):
            world.tokens.caller_of_ticket(used)


def test_a_created_event_makes_the_engine_id_known() -> None:
    world = World()
    container = placed(world)

    world.from_host(Created(**about(container, 1), engine_id="ab" * 32))

    assert world.lifecycle.get(a_caller(), "ab" * 6)["id"] == container.id
    with pytest.raises(NotFound):
        world.lifecycle.get(a_caller(user_id="somebody-else"), "ab" * 6)


def test_keys_of_hosts_are_read_once() -> None:
    world = World()
    container = placed(world)
    for number in range(1, 4):
        event = Progress(**about(container, number), stage=Stage.PULLING, progress=20 + number, message="m")
        world.status.record(seal(event, "host-1", HOST_KEY))

    assert again(world, container).number == 3
