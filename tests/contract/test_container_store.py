"""`ports.ContainerStore`: the same promises asked of memory and DynamoDB."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.containers import DynamoContainers
from chalicelib.adapters.dynamodb.hosts import DynamoHosts
from chalicelib.contract.agent_api import Verb
from chalicelib.contract.events import Failed, Progress, Removed, Resized
from chalicelib.contract.statuses import Stage, Status
from chalicelib.domain.container import Container, PendingPower, PendingResize
from chalicelib.domain.errors import (
    BerthError,
    HostFull,
    KeyReused,
    LimitReached,
    NameTaken,
    NotFound,
    RateLimited,
    StaleWrite,
)
from chalicelib.domain.transitions import Change, apply
from chalicelib.ports import ContainerStore, HostStore, IdempotencyKey, Rate, Replayed
from tests.aws import Aws
from tests.builders import NOW, PLENTY, a_cause, a_container, a_report, about
from tests.fakes.stores import MemoryContainers, MemoryHosts

LIMIT = 5


@dataclass
class Stores:
    containers: ContainerStore
    hosts: HostStore

    def create(self, container: Container, **changes: Any) -> Replayed | None:
        arguments: dict[str, Any] = {"limit": LIMIT, "rate": PLENTY, "key": None, "answer": {"id": container.id}}
        return self.containers.create(container, **(arguments | changes))

    def created(self, user: str, **changes: Any) -> Container:
        container = a_container(user_id=user, **changes)
        self.create(container)
        return container

    def a_host(self, **report: Any) -> str:
        host_id = f"host-{uuid.uuid4().hex[:8]}"
        self.hosts.enrol(host_id, "key")
        self.hosts.heartbeat(host_id, a_report(**report), NOW)
        return host_id


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        hosts = MemoryHosts()
        return Stores(MemoryContainers(hosts), hosts)
    aws: Aws = request.getfixturevalue("stack")
    return Stores(_dynamo(aws, aws.client("dynamodb")), DynamoHosts(aws.client("dynamodb"), aws.table("hosts")))


def _dynamo(aws: Aws, client: Any) -> DynamoContainers:
    return DynamoContainers(client, aws.table("containers"), aws.table("events"), aws.table("hosts"))


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex}"


def outcomes(work: list[Callable[[], Any]]) -> Counter[str]:
    """What came of doing all this at once, by name of the result or error."""
    barrier = threading.Barrier(len(work))

    def one(job: Callable[[], Any]) -> str:
        barrier.wait()
        try:
            return type(job()).__name__
        except BerthError as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(work)) as pool:
        return Counter(pool.map(one, work))


def test_what_was_created_is_read_back_whole(stores: Stores, user: str) -> None:
    container = a_container(
        user_id=user, environment={"A": "1"}, labels={"x.y": "z"}, expires_at=NOW + timedelta(hours=1)
    )

    stores.create(container)

    assert stores.containers.get(user, container.id) == container
    assert stores.containers.of_user(user) == [container]


def test_an_unknown_container_is_not_found(stores: Stores, user: str) -> None:
    for owner, container_id in ((user, "nothing"), (user, ""), ("", "nothing"), ("", "")):
        with pytest.raises(NotFound):
            stores.containers.get(owner, container_id)


def test_another_users_container_is_not_found(stores: Stores, user: str) -> None:
    container = stores.created(user)

    with pytest.raises(NotFound):
        stores.containers.get("somebody-else", container.id)


def test_containers_are_listed_newest_first(stores: Stores, user: str) -> None:
    old = stores.created(user, created_at=NOW)
    new = stores.created(user, created_at=NOW + timedelta(seconds=3))

    assert [each.id for each in stores.containers.of_user(user)] == [new.id, old.id]


def test_the_limit_names_how_many_there_are(stores: Stores, user: str) -> None:
    for _ in range(LIMIT):
        stores.created(user)

    with pytest.raises(LimitReached) as refused:
        stores.created(user)

    assert (refused.value.extra["current"], refused.value.extra["limit"]) == (5, 5)
    assert len(stores.containers.of_user(user)) == LIMIT


def test_a_name_can_be_live_once(stores: Stores, user: str) -> None:
    stores.created(user, name="web")

    with pytest.raises(NameTaken):
        stores.created(user, name="web")

    assert len(stores.containers.of_user(user)) == 1


def test_two_users_may_use_the_same_name(stores: Stores, user: str) -> None:
    stores.created(user, name="web")

    stores.created(f"{user}-other", name="web")


def test_the_limit_is_told_before_the_name(stores: Stores, user: str) -> None:
    for number in range(LIMIT):
        stores.created(user, name=f"n{number}")

    with pytest.raises(LimitReached):
        stores.created(user, name="n0")


def test_fifty_at_once_against_a_limit_of_five_give_five(stores: Stores, user: str) -> None:
    jobs = [lambda c=a_container(user_id=user): stores.create(c) for _ in range(50)]

    assert outcomes(jobs) == {"NoneType": 5, "LimitReached": 45}
    assert len(stores.containers.of_user(user)) == 5


def test_fifty_at_once_with_one_name_give_one(stores: Stores, user: str) -> None:
    jobs = [lambda c=a_container(user_id=user, name="web"): stores.create(c, limit=100) for _ in range(50)]

    assert outcomes(jobs) == {"NoneType": 1, "NameTaken": 49}


def test_one_key_twenty_times_at_once_gives_one_container_and_one_answer(stores: Stores, user: str) -> None:
    key = IdempotencyKey("key", "hash")
    jobs = [lambda c=a_container(user_id=user): stores.create(c, key=key) for _ in range(20)]

    assert outcomes(jobs) == {"NoneType": 1, "Replayed": 19}
    [container] = stores.containers.of_user(user)
    assert stores.create(a_container(user_id=user), key=key) == Replayed({"id": container.id})


def test_a_replay_comes_before_every_other_refusal(stores: Stores, user: str) -> None:
    key = IdempotencyKey("key", "hash")
    first = a_container(user_id=user, name="web")
    stores.create(first, limit=1, key=key)

    again = stores.create(
        a_container(user_id=user, name="web"), limit=1, key=key, rate=Rate(per_minute=1, per_second=1)
    )

    assert again == Replayed({"id": first.id})


def test_a_key_with_another_body_is_refused(stores: Stores, user: str) -> None:
    stores.create(a_container(user_id=user), key=IdempotencyKey("key", "hash"))

    with pytest.raises(KeyReused):
        stores.create(a_container(user_id=user), key=IdempotencyKey("key", "other"))


def test_a_key_is_forgotten_after_a_day(stores: Stores, user: str) -> None:
    key = IdempotencyKey("key", "hash")
    stores.create(a_container(user_id=user), key=key)

    later = a_container(user_id=user, created_at=NOW + timedelta(hours=24, seconds=1))

    assert stores.create(later, key=key) is None


def test_keys_of_two_users_do_not_meet(stores: Stores, user: str) -> None:
    key = IdempotencyKey("key", "hash")
    stores.create(a_container(user_id=user), key=key)

    assert stores.create(a_container(user_id=f"{user}-other"), key=key) is None


def test_more_in_a_second_than_allowed_are_refused_until_the_next(stores: Stores, user: str) -> None:
    rate = Rate(per_minute=60, per_second=2)
    for _ in range(2):
        stores.create(a_container(user_id=user), rate=rate)

    with pytest.raises(RateLimited) as refused:
        stores.create(a_container(user_id=user), rate=rate)

    assert refused.value.retry_after == 1
    stores.create(a_container(user_id=user, created_at=NOW + timedelta(seconds=1)), rate=rate)


def test_more_in_a_minute_than_allowed_are_refused_until_the_next(stores: Stores, user: str) -> None:
    rate = Rate(per_minute=2, per_second=60)
    for second in range(2):
        stores.create(a_container(user_id=user, created_at=NOW + timedelta(seconds=second)), rate=rate)

    with pytest.raises(RateLimited) as refused:
        stores.create(a_container(user_id=user, created_at=NOW + timedelta(seconds=20)), rate=rate)

    assert refused.value.retry_after == 40
    stores.create(a_container(user_id=user, created_at=NOW + timedelta(seconds=60)), rate=rate)


def test_refused_creations_count_against_the_rate(stores: Stores, user: str) -> None:
    rate = Rate(per_minute=3, per_second=3)
    stores.create(a_container(user_id=user, name="web"), rate=rate)
    with pytest.raises(NameTaken):
        stores.create(a_container(user_id=user, name="web"), rate=rate)
    stores.containers.charge_create(user, rate, NOW)

    with pytest.raises(RateLimited):
        stores.containers.charge_create(user, rate, NOW)


def test_deleting_gives_back_name_and_place_at_once(stores: Stores, user: str) -> None:
    container = stores.created(user, name="web")

    deleting = stores.containers.begin_delete(container, NOW, a_cause())

    assert deleting.status is Status.DELETING
    assert stores.containers.get(user, container.id).status is Status.DELETING
    assert stores.containers.of_user(user) == []
    assert stores.create(a_container(user_id=user, name="web"), limit=1) is None


def test_of_twenty_deletions_at_once_one_succeeds(stores: Stores, user: str) -> None:
    container = stores.created(user)
    jobs = [lambda: stores.containers.begin_delete(container, NOW, a_cause()) for _ in range(20)]

    assert outcomes(jobs) == {"Container": 1, "StaleWrite": 19}
    assert stores.create(a_container(user_id=user), limit=1) is None


def test_a_placed_container_holds_room_on_its_host(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    container = stores.created(user)

    placed = stores.containers.place(container, stores.hosts.get(host_id), NOW)

    assert (placed.host_id, placed.reserved) == (host_id, True)
    assert stores.containers.get(user, container.id) == placed
    assert stores.hosts.get(host_id).reserved.memory_mb == container.resources.memory_mb
    assert stores.hosts.get(host_id).reserved.containers == 1


def test_a_container_is_placed_once(stores: Stores, user: str) -> None:
    container = stores.created(user)
    hosts = [stores.hosts.get(stores.a_host()) for _ in range(8)]

    jobs = [lambda h=host: stores.containers.place(container, h, NOW) for host in hosts]

    assert outcomes(jobs) == {"Container": 1, "StaleWrite": 7}
    assert sum(stores.hosts.get(host.id).reserved.containers for host in hosts) == 1


def test_of_twenty_placed_at_once_as_many_as_fit_are(stores: Stores, user: str) -> None:
    host = stores.hosts.get(stores.a_host(memory_mb=3 * 512 + 100))
    containers = [a_container(user_id=user) for _ in range(20)]
    for container in containers:
        stores.create(container, limit=20)

    jobs = [lambda c=container: stores.containers.place(c, host, NOW) for container in containers]

    assert outcomes(jobs) == {"Container": 3, "HostFull": 17}
    assert stores.hosts.get(host.id).reserved.memory_mb == 3 * 512


@pytest.mark.parametrize("report", [{"draining": True}, {"engine_up": False}, {"max_containers": 0}])
def test_a_host_that_takes_nothing_is_full(stores: Stores, user: str, report: dict[str, Any]) -> None:
    host_id = stores.a_host(**report)

    with pytest.raises(HostFull):
        stores.containers.place(stores.created(user), stores.hosts.get(host_id), NOW)


def test_a_host_that_is_drained_is_full_until_it_is_not(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    before = stores.hosts.get(host_id)
    stores.hosts.drain(host_id, draining=True)
    container = stores.created(user)

    with pytest.raises(HostFull):
        stores.containers.place(container, before, NOW)
    stores.hosts.heartbeat(host_id, a_report(), NOW)
    assert not stores.hosts.get(host_id).placeable(NOW)

    stores.hosts.drain(host_id, draining=False)
    stores.containers.place(container, stores.hosts.get(host_id), NOW)


def test_a_host_whose_lease_has_ended_is_full(stores: Stores, user: str) -> None:
    host_id = stores.a_host()

    with pytest.raises(HostFull):
        late = NOW + timedelta(seconds=61)
        stores.containers.place(stores.created(user), stores.hosts.get(host_id), late)


def test_a_claim_given_back_frees_the_host_and_begins_a_generation(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    placed = stores.containers.place(stores.created(user), stores.hosts.get(host_id), NOW)

    free = stores.containers.unplace(placed)

    assert (free.host_id, free.generation, free.number) == (None, 2, 0)
    assert stores.containers.get(user, placed.id) == free
    assert stores.hosts.get(host_id).reserved.containers == 0
    with pytest.raises(StaleWrite):
        stores.containers.unplace(placed)


def test_what_runs_on_a_host_is_found_by_it(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    host = stores.hosts.get(host_id)
    placed = [stores.containers.place(stores.created(user), host, NOW) for _ in range(3)]
    stores.created(user)
    stores.containers.begin_delete(placed[0], NOW, a_cause())

    found = stores.containers.on_host(host_id, 10)

    assert {each.id for each in found} == {each.id for each in placed}
    assert len(stores.containers.on_host(host_id, 1)) == 1
    assert stores.containers.on_host("another", 10) == []


def test_a_container_is_found_by_its_host_without_its_user(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    placed = stores.containers.place(stores.created(user), stores.hosts.get(host_id), NOW)

    assert stores.containers.find_on_host(host_id, placed.id) == placed
    stores.containers.unplace(placed)
    for where, what in ((host_id, placed.id), ("another", placed.id), (host_id, "unknown"), (host_id, "")):
        with pytest.raises(NotFound):
            stores.containers.find_on_host(where, what)


def validated(container: Container) -> Change:
    event = Progress(**about(container), stage=Stage.VALIDATING, progress=10, message="m")
    change = apply(container, event, NOW)
    assert isinstance(change, Change)
    return change


def test_a_change_and_its_frames_are_written_together(stores: Stores, user: str) -> None:
    container = stores.created(user)
    change = validated(container)

    stores.containers.apply(change.before, change.after, change.frames, release=False)

    assert stores.containers.get(user, container.id) == change.after
    assert stores.containers.frames_after(container.id, 0) == list(change.frames)
    assert stores.containers.frames_after(container.id, 1) == []


def test_a_change_of_an_older_record_is_refused(stores: Stores, user: str) -> None:
    change = validated(stores.created(user))
    stores.containers.apply(change.before, change.after, change.frames, release=False)

    with pytest.raises(StaleWrite):
        stores.containers.apply(change.before, change.after, change.frames, release=False)


def test_a_change_does_not_undo_what_was_written_meanwhile(stores: Stores, user: str) -> None:
    container = stores.created(user)
    change = validated(container)
    host_id = stores.a_host()
    stores.containers.place(container, stores.hosts.get(host_id), NOW)

    with pytest.raises(StaleWrite):
        stores.containers.apply(change.before, change.after, change.frames, release=False)

    assert stores.containers.get(user, container.id).host_id == host_id


def test_a_failure_gives_back_the_hosts_room_but_neither_name_nor_place(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    placed = stores.containers.place(stores.created(user, name="web"), stores.hosts.get(host_id), NOW)
    change = apply(placed, Failed(**about(placed, 1), cause=a_cause()), NOW)
    assert isinstance(change, Change)

    stores.containers.apply(change.before, change.after, change.frames, release=change.release)

    assert stores.hosts.get(host_id).reserved.containers == 0
    with pytest.raises(LimitReached):
        stores.create(a_container(user_id=user), limit=1)


def test_an_end_without_a_delete_gives_back_everything_once(stores: Stores, user: str) -> None:
    host_id = stores.a_host()
    placed = stores.containers.place(stores.created(user, name="web"), stores.hosts.get(host_id), NOW)
    change = apply(placed, Removed(**about(placed, 1), cause=a_cause()), NOW)
    assert isinstance(change, Change)
    jobs = [
        lambda: stores.containers.apply(change.before, change.after, change.frames, release=change.release)
        for _ in range(8)
    ]

    assert outcomes(jobs) == {"NoneType": 1, "StaleWrite": 7}

    assert stores.hosts.get(host_id).reserved.containers == 0
    assert stores.create(a_container(user_id=user, name="web"), limit=1) is None


def test_delete_and_a_change_at_once_leave_one_of_both(stores: Stores, user: str) -> None:
    for _ in range(5):
        container = stores.created(user)
        change = validated(container)
        jobs = [
            lambda c=change: stores.containers.apply(c.before, c.after, c.frames, release=False),
            lambda c=container: stores.containers.begin_delete(c, NOW, a_cause()),
        ]

        found = outcomes(jobs)

        assert found["Container"] == 1
        assert stores.containers.get(user, container.id).status is Status.DELETING


def test_what_is_due_is_found_until_postponed(stores: Stores, user: str) -> None:
    container = stores.created(user, due_at=NOW - timedelta(days=400))
    early = NOW - timedelta(days=399)

    assert [each.id for each in stores.containers.due(early, 10)] == [container.id]

    stores.containers.postpone(container, NOW, attempt=1)

    assert stores.containers.due(early, 10) == []
    with pytest.raises(StaleWrite):
        stores.containers.postpone(container, NOW, attempt=1)


STOP = PendingPower(verb=Verb.STOP, action="a")


def test_a_wish_is_kept_with_its_action_and_when_to_ask_again(stores: Stores, user: str) -> None:
    container = stores.created(user, status=Status.RUNNING, attempt=3)
    due = NOW - timedelta(days=300)

    wanted = stores.containers.want(container, Status.STOPPED, STOP, due)

    assert (wanted.wanted, wanted.pending_power, wanted.due_at, wanted.attempt) == (Status.STOPPED, STOP, due, 0)
    assert stores.containers.get(user, container.id) == wanted
    assert container.id in {each.id for each in stores.containers.due(due, 100)}
    with pytest.raises(StaleWrite):
        stores.containers.want(container, Status.RUNNING, STOP, due)


def test_a_deletion_leaves_nothing_pending(stores: Stores, user: str) -> None:
    container = stores.created(user, status=Status.RUNNING)
    wanted = stores.containers.want(container, Status.STOPPED, STOP, NOW)

    deleting = stores.containers.begin_delete(wanted, NOW, a_cause())

    assert deleting.pending_power is None
    assert stores.containers.get(user, container.id) == deleting


def changed(container: Container, **changes: Any) -> Container:
    return container.model_copy(update=changes)


def test_another_name_takes_the_place_of_the_first(stores: Stores, user: str) -> None:
    container = stores.created(user, name="old")
    stores.created(user, name="taken")

    after = stores.containers.reconfigure(container, changed(container, name="new", pending_rename="a"), None)

    assert stores.containers.get(user, container.id) == after
    assert (after.name, after.pending_rename) == ("new", "a")
    stores.created(user, name="old")
    with pytest.raises(NameTaken):
        stores.created(user, name="new")
    with pytest.raises(NameTaken):
        stores.containers.reconfigure(after, changed(after, name="taken"), None)
    with pytest.raises(StaleWrite):
        stores.containers.reconfigure(container, changed(container, name="other"), None)
    stores.containers.begin_delete(after, NOW, a_cause())
    stores.created(user, name="new")


def test_other_amounts_change_the_room_held_if_there_is_some(stores: Stores, user: str) -> None:
    host_id = stores.a_host(memory_mb=1000)
    container = stores.containers.place(stores.created(user, name="a"), stores.hosts.get(host_id), NOW)
    more, too_much = (container.resources.model_copy(update={"memory_mb": size}) for size in (1000, 1001))
    pending = PendingResize(action="a", before=container.resources)

    with pytest.raises(HostFull):
        wanted = changed(container, resources=too_much, name="b")
        stores.containers.reconfigure(container, wanted, stores.hosts.get(host_id))
    assert stores.hosts.get(host_id).reserved.memory_mb == 512
    assert stores.containers.get(user, container.id) == container
    wanted = changed(container, resources=more, pending_resize=pending)
    after = stores.containers.reconfigure(container, wanted, stores.hosts.get(host_id))

    assert stores.containers.get(user, container.id) == after
    assert after.pending_resize == pending
    assert stores.hosts.get(host_id).reserved.memory_mb == 1000
    less = changed(after, resources=container.resources)
    stores.containers.reconfigure(after, less, stores.hosts.get(host_id))
    assert stores.hosts.get(host_id).reserved.memory_mb == 512
    assert stores.hosts.get(host_id).reserved.containers == 1


def test_of_twenty_that_grow_at_once_as_many_as_fit_do(stores: Stores, user: str) -> None:
    host = stores.hosts.get(stores.a_host(memory_mb=8 * 512 + 3 * 100))
    placed = [stores.containers.place(a, host, NOW) for a in _many(stores, user, 8)]
    bigger = placed[0].resources.model_copy(update={"memory_mb": 612})

    jobs = [lambda c=each: stores.containers.reconfigure(c, changed(c, resources=bigger), host) for each in placed]

    assert outcomes(jobs) == {"Container": 3, "HostFull": 5}
    assert stores.hosts.get(host.id).reserved.memory_mb == 8 * 512 + 300


def _many(stores: Stores, user: str, number: int) -> list[Container]:
    containers = [a_container(user_id=user) for _ in range(number)]
    for container in containers:
        stores.create(container, limit=number)
    return containers


def test_room_follows_what_a_host_has_made_of_a_container(stores: Stores, user: str) -> None:
    host_id = stores.a_host(memory_mb=600)
    placed = stores.containers.place(stores.created(user), stores.hosts.get(host_id), NOW)
    resources = placed.resources.model_copy(update={"memory_mb": 700})
    event = Resized(**about(placed, 3), action="a", resources=resources)
    change = apply(placed.model_copy(update={"status": Status.RUNNING}), event, NOW)
    assert isinstance(change, Change)

    stores.containers.apply(change.before, change.after, change.frames, release=False)

    assert stores.hosts.get(host_id).reserved.memory_mb == 700
    assert stores.hosts.get(host_id).reserved.containers == 1


@pytest.fixture
def counted(stack: Aws) -> Iterator[tuple[DynamoContainers, Counter[str]]]:
    client = stack.client("dynamodb")
    calls: Counter[str] = Counter()
    client.meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.update([model.name]), unique_id="count"
    )
    yield _dynamo(stack, client), calls
    client.meta.events.unregister("before-call.dynamodb", unique_id="count")


def test_each_promise_costs_one_call(counted: tuple[DynamoContainers, Counter[str]], user: str) -> None:
    store, calls = counted
    container = a_container(user_id=user)

    store.create(container, LIMIT, PLENTY, IdempotencyKey("k", "h"), {})
    store.get(user, container.id)
    store.of_user(user)
    change = validated(container)
    store.apply(change.before, change.after, change.frames, release=False)
    store.begin_delete(change.after, NOW, a_cause())

    assert calls == {"TransactWriteItems": 3, "GetItem": 1, "Query": 1}
