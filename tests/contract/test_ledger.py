"""`Ledger`: all rows, and mendings that write only what is still so; the same promises of memory and DynamoDB."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.connections import DynamoConnections
from chalicelib.adapters.dynamodb.containers import DynamoContainers
from chalicelib.adapters.dynamodb.hosts import DynamoHosts
from chalicelib.adapters.dynamodb.ledger import DynamoLedger
from chalicelib.contract.statuses import Status
from chalicelib.domain.books import Entry, NameRow
from chalicelib.domain.container import Container, Frame
from chalicelib.domain.errors import StaleWrite
from chalicelib.domain.host import Reserved
from chalicelib.ports import ConnectionStore, ContainerStore, HostStore, Ledger
from tests.aws import Aws
from tests.builders import NOW, PLENTY, a_cause, a_connection, a_container, a_report
from tests.fakes.ledger import MemoryLedger
from tests.fakes.stores import MemoryConnections, MemoryContainers, MemoryHosts


@dataclass
class Stores:
    containers: ContainerStore
    hosts: HostStore
    connections: ConnectionStore
    ledger: Ledger

    def placed(self, **changes: Any) -> Container:
        """A container on a host of its own."""
        host_id = f"host-{uuid.uuid4().hex}"
        self.hosts.enrol(host_id, "key")
        self.hosts.heartbeat(host_id, a_report(), NOW)
        new = a_container(user_id=f"user-{uuid.uuid4().hex}", **changes)
        self.containers.create(new, 5, PLENTY, None, {})
        return self.containers.place(new, self.hosts.get(host_id), NOW)


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        hosts, connections = MemoryHosts(), MemoryConnections()
        containers = MemoryContainers(hosts)
        return Stores(containers, hosts, connections, MemoryLedger(containers, hosts, connections))
    aws: Aws = request.getfixturevalue("stack")
    client = aws.client("dynamodb")
    tables = {name: aws.table(name) for name in ("containers", "events", "connections", "hosts")}
    return Stores(
        DynamoContainers(client, tables["containers"], tables["events"], tables["hosts"]),
        DynamoHosts(client, tables["hosts"]),
        DynamoConnections(client, tables["connections"]),
        DynamoLedger(client, tables),
    )


def test_everything_written_is_read(stores: Stores) -> None:
    container = stores.placed()
    frame = Frame(type="progress", container={"id": container.id}, seq=1, timestamp=NOW)
    after = container.model_copy(update={"seq": 1, "version": container.version + 1})
    stores.containers.apply(container, after, [frame], release=False)
    connection = a_connection(user_id=container.user_id, expires_at=NOW - timedelta(days=1))
    stores.connections.add(connection, 10)

    assert after in stores.ledger.records()
    assert NameRow(container.user_id, container.name, container.id) in stores.ledger.names()
    assert stores.ledger.counters()[container.user_id] == 1
    assert container.host_id in [host.id for host in stores.ledger.hosts()]
    assert connection in stores.ledger.connections()
    assert Entry(container.id, 1, NOW) in stores.ledger.entries()


def test_a_host_not_heard_of_is_read_too(stores: Stores) -> None:
    stores.hosts.enrol("host-quiet", "key")

    assert "host-quiet" in [host.id for host in stores.ledger.hosts()]


def test_more_rows_than_a_page_holds_are_all_read(stores: Stores) -> None:
    user_id = f"user-{uuid.uuid4().hex}"
    for _ in range(60):
        stores.containers.create(a_container(user_id=user_id, environment={"X": "x" * 30_000}), 100, PLENTY, None, {})

    assert sum(1 for record in stores.ledger.records() if record.user_id == user_id) == 60


def test_a_counter_is_set_only_while_it_is_as_found(stores: Stores) -> None:
    container = stores.placed()

    stores.ledger.recount(container.user_id, 1, 4)
    assert stores.ledger.counters()[container.user_id] == 4
    with pytest.raises(StaleWrite):
        stores.ledger.recount(container.user_id, 1, 2)
    assert stores.ledger.counters()[container.user_id] == 4


def test_a_counter_that_is_not_there_can_be_set(stores: Stores) -> None:
    user_id = f"user-{uuid.uuid4().hex}"

    stores.ledger.recount(user_id, 0, 2)

    assert stores.ledger.counters()[user_id] == 2


def test_a_name_in_use_is_never_dropped(stores: Stores) -> None:
    container = stores.placed()
    row = NameRow(container.user_id, container.name, container.id)

    with pytest.raises(StaleWrite):
        stores.ledger.drop_name(row)

    assert row in stores.ledger.names()


def test_a_name_is_dropped_and_held_again(stores: Stores) -> None:
    container = stores.placed()
    row = NameRow(container.user_id, container.name, container.id)
    ghost = a_container(user_id=container.user_id, name="ghost")
    stores.containers.create(ghost, 5, PLENTY, None, {})
    gone = stores.containers.begin_delete(ghost, NOW, a_cause())
    again = a_container(user_id=container.user_id, name="ghost")
    stores.containers.create(again, 5, PLENTY, None, {})

    with pytest.raises(StaleWrite):
        stores.ledger.drop_name(NameRow(gone.user_id, "ghost", gone.id))
    with pytest.raises(StaleWrite):
        stores.ledger.hold_name(container)

    assert row in stores.ledger.names()
    assert NameRow(container.user_id, "ghost", again.id) in stores.ledger.names()


def test_a_name_of_a_container_that_is_gone_is_dropped_and_a_live_one_given_its_own(stores: Stores) -> None:
    leaked = a_container(user_id=f"user-{uuid.uuid4().hex}", status=Status.DELETED)
    stores.containers.create(leaked, 5, PLENTY, None, {})
    live = a_container(user_id=leaked.user_id, name=leaked.name)

    stores.ledger.drop_name(NameRow(leaked.user_id, leaked.name, leaked.id))
    stores.containers.create(live, 5, PLENTY, None, {})

    names = [row for row in stores.ledger.names() if row.user_id == leaked.user_id]
    assert names == [NameRow(live.user_id, live.name, live.id)]


def test_a_name_is_held_for_the_record_as_it_was_read(stores: Stores) -> None:
    first = stores.placed()
    nameless = stores.placed(name="nameless")
    unknown_name = nameless.model_copy(update={"name": "other"})

    stores.ledger.hold_name(unknown_name)
    with pytest.raises(StaleWrite):
        stores.ledger.hold_name(first.model_copy(update={"name": "third", "version": first.version + 1}))

    assert NameRow(nameless.user_id, "other", nameless.id) in stores.ledger.names()
    assert (first.user_id, "third") not in [(row.user_id, row.name) for row in stores.ledger.names()]


def test_a_reservation_is_set_only_while_it_is_as_found(stores: Stores) -> None:
    container = stores.placed()
    host = stores.hosts.get(str(container.host_id))

    stores.ledger.reserve(host.id, host.reserved, Reserved())
    assert stores.hosts.get(host.id).reserved == Reserved()
    with pytest.raises(StaleWrite):
        stores.ledger.reserve(host.id, host.reserved, Reserved(containers=9))
    assert stores.hosts.get(host.id).reserved == Reserved()
