"""`HostStore`, `TokenStore` and `ConnectionStore`: the same promises asked of memory and DynamoDB."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.connections import DynamoConnections
from chalicelib.adapters.dynamodb.hosts import DynamoHosts
from chalicelib.adapters.dynamodb.tokens import DynamoTokens
from chalicelib.domain.errors import NotFound, RateLimited
from chalicelib.ports import ConnectionStore, HostStore, TokenStore
from tests.aws import Aws
from tests.builders import NOW, a_connection, a_report, a_token
from tests.fakes.stores import MemoryConnections, MemoryHosts, MemoryTokens


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex}"


@pytest.fixture(params=["memory", "dynamodb"])
def hosts(request: pytest.FixtureRequest) -> HostStore:
    if request.param == "memory":
        return MemoryHosts(groups=3)
    aws: Aws = request.getfixturevalue("stack")
    return DynamoHosts(aws.client("dynamodb"), aws.table("hosts"), shards=3)


@pytest.fixture(params=["memory", "dynamodb"])
def tokens(request: pytest.FixtureRequest) -> TokenStore:
    if request.param == "memory":
        return MemoryTokens()
    aws: Aws = request.getfixturevalue("stack")
    return DynamoTokens(aws.client("dynamodb"), aws.table("tokens"))


@pytest.fixture(params=["memory", "dynamodb"])
def connections(request: pytest.FixtureRequest) -> ConnectionStore:
    if request.param == "memory":
        return MemoryConnections()
    aws: Aws = request.getfixturevalue("stack")
    return DynamoConnections(aws.client("dynamodb"), aws.table("connections"))


def test_a_host_is_a_candidate_once_it_has_reported(hosts: HostStore) -> None:
    host_id = f"host-{uuid.uuid4().hex}"
    hosts.enrol(host_id, "key")

    assert host_id not in [host.id for host in hosts.candidates()]

    hosts.heartbeat(host_id, a_report(memory_mb=4321), NOW)

    [found] = [host for host in hosts.candidates() if host.id == host_id]
    assert found == hosts.get(host_id)
    assert found.report == a_report(memory_mb=4321)
    assert found.received_at == NOW


def test_a_host_that_was_not_enrolled_cannot_report(hosts: HostStore) -> None:
    with pytest.raises(NotFound):
        hosts.heartbeat("stranger", a_report(), NOW)
    with pytest.raises(NotFound):
        hosts.get("stranger")


def test_a_beat_that_was_held_up_changes_nothing(hosts: HostStore) -> None:
    hosts.enrol("host-late", "key")
    hosts.heartbeat("host-late", a_report(containers=2), NOW)

    hosts.heartbeat("host-late", a_report(containers=1), NOW - timedelta(seconds=30))

    assert hosts.get("host-late").received_at == NOW
    assert hosts.get("host-late").report == a_report(containers=2)


def test_a_new_key_replaces_the_old_and_the_rest_stays(hosts: HostStore) -> None:
    hosts.enrol("host-key", "old")
    hosts.heartbeat("host-key", a_report(), NOW)

    hosts.enrol("host-key", "new")

    assert hosts.get("host-key").public_key == "new"
    assert hosts.get("host-key").report is not None


def test_a_failure_is_remembered_until_the_next(hosts: HostStore) -> None:
    hosts.enrol("host-fails", "key")
    hosts.heartbeat("host-fails", a_report(), NOW)
    assert hosts.get("host-fails").failed_at is None

    hosts.note_failure("host-fails", NOW)
    hosts.heartbeat("host-fails", a_report(), NOW + timedelta(seconds=10))
    hosts.note_failure("host-fails", NOW + timedelta(seconds=20))

    assert hosts.get("host-fails").failed_at == NOW + timedelta(seconds=20)
    with pytest.raises(NotFound):
        hosts.note_failure("stranger", NOW)


def test_samples_are_the_fleet_in_groups_in_any_order_each_once(hosts: HostStore) -> None:
    random = Random(3)
    ids = {f"sampled-{number}" for number in range(20)}
    for host_id in ids:
        hosts.enrol(host_id, "key")
        hosts.heartbeat(host_id, a_report(), NOW)
    hosts.enrol("sampled-not", "never reported")

    orders = set()
    for _ in range(20):
        groups = [frozenset(host.id for host in group) for group in hosts.samples(random.randrange)]
        found = [host_id for group in groups for host_id in group if host_id.startswith("sampled")]
        assert len(groups) == 3
        assert sorted(found) == sorted(ids)
        orders.add(tuple(groups))

    assert len(orders) == 6


def test_a_fleet_of_more_than_a_megabyte_is_seen_whole(stack: Aws) -> None:
    """DynamoDB answers a query in pages of at most 1 MB."""
    calls: Counter[str] = Counter()
    store = DynamoHosts(_counting(stack, calls), stack.with_stack().table("hosts"))
    for number in range(15):
        store.enrol(f"host-{number}", "key")
        store.heartbeat(f"host-{number}", a_report(images=["i" * 100_000]), NOW)
    calls.clear()

    assert len(store.candidates()) == 15
    assert calls["Query"] == 2
    [group] = store.samples(Random(1).randrange)
    assert len(group) == 15


def test_one_look_reads_one_query_and_a_second_group_is_read_when_it_is_asked_for(stack: Aws) -> None:
    calls: Counter[str] = Counter()
    store = DynamoHosts(_counting(stack, calls), stack.table("hosts"), shards=3)
    looks = store.samples(Random(1).randrange)
    assert calls == {}

    next(looks)
    assert calls == {"Query": 1}
    next(looks)
    assert calls == {"Query": 2}


def test_hosts_follow_a_new_number_of_shards_with_their_next_beat(stack: Aws) -> None:
    table = stack.with_stack().table("hosts")
    few, many = (DynamoHosts(stack.client("dynamodb"), table, shards) for shards in (1, 4))
    for number in range(12):
        many.enrol(f"host-{number}", "key")
        many.heartbeat(f"host-{number}", a_report(), NOW)
    assert len(few.candidates()) < 12

    for number in range(12):
        few.heartbeat(f"host-{number}", a_report(), NOW)

    assert len(few.candidates()) == 12


def _counting(stack: Aws, calls: Counter[str]) -> Any:
    client = stack.client("dynamodb")
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.update([model.name]))
    return client


def test_a_token_is_found_by_its_hash_alone(tokens: TokenStore, user: str) -> None:
    token = replace(a_token(user_id=user), hash=uuid.uuid4().hex)
    tokens.add(token)

    assert tokens.by_hash(token.hash) == token
    with pytest.raises(NotFound):
        tokens.by_hash(token.id)


def test_a_users_tokens_are_listed_newest_first_without_revoked_ones(tokens: TokenStore, user: str) -> None:
    old, middle, new = (replace(a_token(user_id=user), hash=uuid.uuid4().hex) for _ in range(3))
    for token in (middle, new, old):
        tokens.add(token)

    tokens.revoke(user, middle.id)

    assert [token.id for token in tokens.of_user(user)] == [new.id, old.id]
    assert tokens.by_hash(middle.hash).revoked


def test_a_token_is_revoked_by_its_owner_and_once(tokens: TokenStore, user: str) -> None:
    token = replace(a_token(user_id=user), hash=uuid.uuid4().hex)
    tokens.add(token)

    with pytest.raises(NotFound):
        tokens.revoke("somebody-else", token.id)
    tokens.revoke(user, token.id)
    with pytest.raises(NotFound):
        tokens.revoke(user, token.id)


def test_a_ticket_is_taken_by_one_of_twenty(tokens: TokenStore) -> None:
    ticket = uuid.uuid4().hex
    tokens.add_ticket(ticket, "token-hash", NOW + timedelta(seconds=30))

    def take(_number: int) -> str:
        try:
            return tokens.take_ticket(ticket, NOW)
        except NotFound:
            return "not found"

    with ThreadPoolExecutor(20) as pool:
        found = sorted(pool.map(take, range(20)))

    assert found == ["not found"] * 19 + ["token-hash"]


def test_a_late_ticket_is_not_found(tokens: TokenStore) -> None:
    ticket = uuid.uuid4().hex
    tokens.add_ticket(ticket, "token-hash", NOW + timedelta(seconds=30))

    with pytest.raises(NotFound):
        tokens.take_ticket(ticket, NOW + timedelta(seconds=30))


def test_a_ticket_is_no_token(tokens: TokenStore) -> None:
    ticket = uuid.uuid4().hex
    tokens.add_ticket(ticket, "token-hash", NOW + timedelta(seconds=30))

    with pytest.raises(NotFound):
        tokens.by_hash(ticket)


def test_guests_of_an_address_are_counted_until_midnight(tokens: TokenStore) -> None:
    address = uuid.uuid4().hex
    for _ in range(2):
        tokens.count_guest(address, 2, NOW)

    with pytest.raises(RateLimited) as refused:
        tokens.count_guest(address, 2, NOW)

    assert refused.value.retry_after == 12 * 3600
    tokens.count_guest(address, 2, NOW + timedelta(days=1))


def test_a_connection_is_found_by_id_and_by_user_until_forgotten(connections: ConnectionStore, user: str) -> None:
    connection = a_connection(f"{uuid.uuid4().hex}=", user_id=user)
    connections.add(connection, 10)

    assert connections.get(connection.id, NOW) == connection
    assert connections.of_user(user, NOW) == [connection]

    connections.forget(connection)

    assert connections.of_user(user, NOW) == []
    with pytest.raises(NotFound):
        connections.get(connection.id, NOW)
    connections.forget(connection)


def test_an_expired_connection_is_never_returned(connections: ConnectionStore, user: str) -> None:
    connection = a_connection(f"{uuid.uuid4().hex}=", user_id=user)
    connections.add(connection, 10)
    late = NOW + timedelta(hours=2)

    assert connections.of_user(user, late) == []
    with pytest.raises(NotFound):
        connections.get(connection.id, late)


def test_a_user_has_no_more_connections_than_allowed_even_at_once(connections: ConnectionStore, user: str) -> None:
    def add(_number: int) -> str:
        try:
            connections.add(a_connection(f"{uuid.uuid4().hex}=", user_id=user), 4)
        except RateLimited:
            return "refused"
        return "added"

    added = [add(number) for number in range(3)].count("added")
    with ThreadPoolExecutor(8) as pool:
        added += list(pool.map(add, range(8))).count("added")

    assert added <= 4
    assert len(connections.of_user(user, NOW)) == added


def test_all_of_a_user_are_found_also_when_they_fill_more_than_a_page(connections: ConnectionStore, user: str) -> None:
    """A page is a megabyte; who is on the next would hear nothing, and not count."""
    long = [a_connection(f"{uuid.uuid4().hex}=", user_id=user, token_hash="h" * 300_000) for _ in range(7)]
    for each in long:
        connections.add(each, 10)

    assert {each.id for each in connections.of_user(user, NOW)} == {each.id for each in long}


def test_flag_and_strikes_are_kept(connections: ConnectionStore, user: str) -> None:
    connection = a_connection(f"{uuid.uuid4().hex}=", user_id=user)
    connections.add(connection, 10)

    connections.mark_listed(connection)
    connections.strike(connection, 3)

    assert connections.get(connection.id, NOW) == replace(connection, listed=True, strikes=3)


def test_a_connection_that_is_gone_is_not_brought_back(connections: ConnectionStore, user: str) -> None:
    connection = a_connection(f"{uuid.uuid4().hex}=", user_id=user)

    connections.strike(connection, 1)
    with pytest.raises(NotFound):
        connections.mark_listed(connection)

    assert connections.of_user(user, NOW) == []
