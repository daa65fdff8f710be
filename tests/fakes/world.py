"""Queues, agents and sockets in memory, with faults to order; and all services wired to fakes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.contract.agent_api import (
    ContainerSpec,
    ExecCall,
    FileCall,
    Filed,
    FileEntry,
    Held,
    Holdings,
    PowerCall,
    Ran,
    Removal,
    ResizeCall,
    UsageCall,
    Used,
)
from chalicelib.contract.commands import Command
from chalicelib.contract.events import Event
from chalicelib.contract.signatures import CONTROL_PLANE, new_private_key, public_key_of, seal
from chalicelib.domain.errors import AgentRefused, AgentUnreachable, Busy, ConnectionGone, ConnectionStuck
from chalicelib.domain.host import Host
from chalicelib.services.attended import Attended
from chalicelib.services.execution import Execution
from chalicelib.services.fanout import FanOut
from chalicelib.services.files import Files
from chalicelib.services.inventories import Inventories
from chalicelib.services.keyring import Keyring
from chalicelib.services.leases import Leases
from chalicelib.services.lifecycle import Lifecycle
from chalicelib.services.provisioning import Provisioning
from chalicelib.services.rates import Limit, Limiter, Pulls, Rates
from chalicelib.services.reconfiguration import Reconfiguration
from chalicelib.services.status import StatusWriter
from chalicelib.services.subscriptions import Subscriptions
from chalicelib.services.sweep import Sweep
from chalicelib.services.terminals import Signing, Terminals
from chalicelib.services.tokens import Tokens
from chalicelib.services.usage import Usage
from tests.builders import PLENTY, a_report
from tests.fakes.clock import FakeClock, FakeIds
from tests.fakes.ledger import MemoryLedger
from tests.fakes.rates import MemoryRates
from tests.fakes.stores import MemoryConnections, MemoryContainers, MemoryHosts, MemoryTokens


@dataclass
class ListQueue:
    """A queue as the list of what was sent; `down` makes it refuse."""

    sent: list[tuple[Any, int]] = field(default_factory=list)
    down: bool = False

    def send(self, message: Command | Event, attempt: int = 0) -> None:
        if self.down:
            raise Busy("the queue refused")
        self.sent.append((message, attempt))

    @property
    def messages(self) -> list[Any]:
        return [message for message, _ in self.sent]


def ran(**changes: Any) -> Ran:
    """How a command ended: well, and at once, unless the changes say otherwise."""
    values: dict[str, Any] = {
        "stdout": "", "stderr": "", "exit_code": 0, "duration_ms": 3, "truncated": False, "timed_out": False
    }  # fmt: skip
    values |= changes
    return Ran(**({"output": values["stdout"] + values["stderr"]} | values))


def used(**changes: Any) -> Used:
    """What a container uses: each number another, unless the changes say otherwise."""
    values: dict[str, Any] = {
        "cpu_percent": 12.5, "memory": 1, "memory_limit": 2, "disk_usage": 3, "disk_limit": 4, "disk_read": 5,
        "disk_write": 6, "net_rx": 7, "net_tx": 8,
    }  # fmt: skip
    return Used(**(values | changes))


@dataclass
class FakeAgents:
    """Hosts' agents; `refusing` and `unreachable` by host id."""

    created: list[tuple[str, ContainerSpec]] = field(default_factory=list)
    deleted: list[tuple[str, Removal]] = field(default_factory=list)
    powered: list[tuple[str, PowerCall]] = field(default_factory=list)
    resized: list[tuple[str, ResizeCall]] = field(default_factory=list)
    run_calls: list[tuple[str, ExecCall]] = field(default_factory=list)
    file_calls: list[tuple[str, FileCall]] = field(default_factory=list)
    filed: Filed = field(default_factory=lambda: Filed(entry=FileEntry(name="file", size=5, mode=0o100644, modified=0)))
    """What every call about a file answers."""
    answer: Ran = field(default_factory=lambda: ran(stdout="hello\n"))
    """What every command answers."""
    usage_calls: list[tuple[str, UsageCall]] = field(default_factory=list)
    used: Used = field(default_factory=lambda: used())
    """What every container uses."""
    held: dict[str, list[Held]] = field(default_factory=dict)
    refusing: dict[str, str] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)

    def create(self, host: Host, spec: ContainerSpec) -> None:
        self._check(host)
        self.created.append((host.id, spec))

    def delete(self, host: Host, removal: Removal) -> None:
        self._check(host)
        self.deleted.append((host.id, removal))

    def power(self, host: Host, call: PowerCall) -> None:
        self._check(host)
        self.powered.append((host.id, call))

    def resize(self, host: Host, call: ResizeCall) -> None:
        self._check(host)
        self.resized.append((host.id, call))

    def run(self, host: Host, call: ExecCall) -> Ran:
        self._check(host)
        self.run_calls.append((host.id, call))
        return self.answer

    def file(self, host: Host, call: FileCall) -> Filed:
        self._check(host)
        self.file_calls.append((host.id, call))
        return self.filed

    def usage(self, host: Host, call: UsageCall) -> Used:
        self._check(host)
        self.usage_calls.append((host.id, call))
        return self.used

    def holdings(self, host: Host) -> Holdings:
        self._check(host)
        return Holdings(host_id=host.id, containers=self.held.get(host.id, []))

    def _check(self, host: Host) -> None:
        if host.id in self.unreachable:
            raise AgentUnreachable(host.id)
        if host.id in self.refusing:
            raise AgentRefused(self.refusing[host.id])


@dataclass
class MemorySockets:
    """What each connection heard; `gone` and `stuck` by connection id; `on_send` is told before each frame."""

    heard: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    closed: list[str] = field(default_factory=list)
    on_send: Callable[[str], None] = lambda _connection_id: None

    def send(self, connection_id: str, text: str) -> None:
        self.on_send(connection_id)
        if connection_id in self.gone:
            raise ConnectionGone(connection_id)
        if connection_id in self.stuck:
            raise ConnectionStuck(connection_id)
        self.heard.setdefault(connection_id, []).append(json.loads(text))

    def close(self, connection_id: str) -> None:
        self.closed.append(connection_id)
        self.gone.add(connection_id)


CONTROL_KEY = new_private_key()
HOST_KEY = new_private_key()


class World:
    """Every service over fakes, with one enrolled host that has reported."""

    def __init__(self, hosts: int = 1) -> None:
        self.clock = FakeClock()
        self.ids = FakeIds()
        self.hosts = MemoryHosts()
        self.containers = MemoryContainers(self.hosts)
        self.tokens_store = MemoryTokens()
        self.connections = MemoryConnections()
        self.commands = ListQueue()
        self.events = ListQueue()
        self.agents = FakeAgents()
        self.sockets = MemorySockets()
        for number in range(1, hosts + 1):
            self.hosts.enrol(f"host-{number}", public_key_of(HOST_KEY))
            self.hosts.heartbeat(f"host-{number}", a_report(), self.clock.now())
        self.lifecycle = Lifecycle(self.containers, self.commands, self.clock, self.ids, PLENTY)
        self.reconfiguration = Reconfiguration(self.lifecycle, self.hosts)
        attended = Attended(self.lifecycle, self.hosts, lambda: self.agents)
        self.execution = Execution(attended)
        self.usage = Usage(attended, self.clock)
        self.files = Files(attended)
        self.rate_store = MemoryRates()
        self.rates = Rates(self._limiter("requests", 100_000, 60), self._limiter("unauthenticated", 100_000, 60))
        pulls = Pulls(self.rate_store, self.clock, per_hour=5)
        self.provisioning = Provisioning(
            self.containers, self.hosts, self.agents, self.events, self.clock, self.ids, pulls
        )
        self.tokens = Tokens(self.tokens_store, self.connections, self.sockets, self.clock, self.ids, 5)
        signing = Signing(lambda: CONTROL_KEY, self.clock, self.ids)
        self.terminals = Terminals(attended, self.tokens, signing, "wss://relay.test/ws/terminal")
        self.subscriptions = Subscriptions(
            self.connections,
            self.containers,
            self.events,
            self.sockets,
            self.clock,
            limit=10,
            frames=self._limiter("frames", 50, 1),
        )
        self.fanout = FanOut(self.connections, self.sockets, self.clock)
        self.status = StatusWriter(
            self.containers,
            self.hosts,
            Keyring(self.hosts, public_key_of(CONTROL_KEY)),
            self.subscriptions,
            self.fanout,
            Inventories(self.containers, self.commands, self.clock),
            self.clock,
        )
        self.leases = Leases(self.containers, self.hosts, self.events, self.clock)
        self.sweep = Sweep(self.containers, self.commands, self.events, self.clock)
        self.ledger = MemoryLedger(self.containers, self.hosts, self.connections)

    def _limiter(self, kind: str, most: int, seconds: int) -> Limiter:
        return Limiter(Limit(kind, most, seconds, stride=10), self.rate_store, self.clock)

    def from_host(self, event: Event, host_id: str = "host-1") -> None:
        """Have the status writer record an event that this host signed."""
        self.status.record(seal(event, host_id, HOST_KEY))

    def from_control_plane(self, event: Event) -> None:
        """Have the status writer record an event of the control plane."""
        self.status.record(seal(event, CONTROL_PLANE, CONTROL_KEY))
