"""`Ledger` over the stores in memory."""

from dataclasses import dataclass

from chalicelib.domain.books import Entry, NameRow
from chalicelib.domain.connection import Connection
from chalicelib.domain.container import Container
from chalicelib.domain.errors import StaleWrite
from chalicelib.domain.host import Host, Reserved
from tests.fakes.stores import MemoryConnections, MemoryContainers, MemoryHosts


@dataclass
class MemoryLedger:
    containers: MemoryContainers
    hosts_store: MemoryHosts
    connections_store: MemoryConnections

    def records(self) -> list[Container]:
        return list(self.containers.records.values())

    def names(self) -> list[NameRow]:
        return [NameRow(*key, container_id) for key, container_id in self.containers.names.items()]

    def counters(self) -> dict[str, int]:
        return dict(self.containers.live)

    def hosts(self) -> list[Host]:
        return list(self.hosts_store.rows.values())

    def connections(self) -> list[Connection]:
        return list(self.connections_store.rows.values())

    def entries(self) -> list[Entry]:
        logs = self.containers.log.items()
        return [Entry(container_id, frame.seq, frame.timestamp) for container_id, frames in logs for frame in frames]

    def recount(self, user_id: str, found: int, live: int) -> None:
        with self.containers.lock:
            _same(self.containers.live.get(user_id, 0), found)
            self.containers.live[user_id] = live

    def drop_name(self, row: NameRow) -> None:
        with self.containers.lock:
            _same(self.containers.names.get((row.user_id, row.name)), row.container_id)
            record = self.containers.records.get((row.user_id, row.container_id))
            _same(record is not None and record.live and record.name == row.name, found=False)
            del self.containers.names[row.user_id, row.name]

    def hold_name(self, container: Container) -> None:
        with self.containers.lock:
            _same((container.user_id, container.name) in self.containers.names, found=False)
            _same(self.containers.get(container.user_id, container.id).version, container.version)
            self.containers.names[container.user_id, container.name] = container.id

    def reserve(self, host_id: str, found: Reserved, held: Reserved) -> None:
        with self.hosts_store.lock:
            _same(self.hosts_store.get(host_id).reserved, found)
            self.hosts_store.rows[host_id] = self.hosts_store.get(host_id).model_copy(update={"reserved": held})


def _same(now: object, found: object) -> None:
    if now != found:
        raise StaleWrite("what was found is no longer so")
