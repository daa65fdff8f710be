"""All that stands between containers and the network: an engine and settings come in, bridges, rules and names go out.

On a developer's machine where no rules can be set, the engine's own network and resolver remain, and whoever is held to
names reaches nothing.
"""

import logging
import zlib
from dataclasses import dataclass

from infra.hostagent.containers.files import ENGINES_RESOLVER
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.network.admissions import Admissions
from infra.hostagent.network.egress import ClosedEgress, Egress, EgressFailed
from infra.hostagent.network.firewall import RESOLVER, Firewall, Gate
from infra.hostagent.network.name_server import NameServer, NoSockets, resolvers_of
from infra.hostagent.network.nft import Nft, NoFirewall
from infra.hostagent.ports import EngineError
from infra.hostagent.settings import Settings

log = logging.getLogger("berth.agent.walls")


@dataclass(frozen=True, slots=True)
class _Rules:
    firewall: Firewall
    names: NameServer
    admissions: Admissions


class Walls:
    """The networks of one host and what keeps them in. NoFirewall where that cannot be, except in development."""

    def __init__(self, engine: DockerEngine, settings: Settings) -> None:
        self._engine = engine
        self._host_id = settings.host_id
        bridge = bridge_of(settings.host_id)
        self._bridges = {settings.network: bridge, settings.held_network: f"{bridge}h"}
        self._have_networks()
        self._rules: _Rules | None = None
        try:
            self._rules = _rules(settings, *self._bridges.values())
        except NoFirewall as error:
            if not settings.development:
                raise
            log.warning("no firewall round containers", extra={"reason": str(error)})
        self.held_network = settings.held_network if self._rules else None
        self.resolver = RESOLVER if self._rules else None

    @property
    def egress(self) -> Egress:
        return self._rules.admissions if self._rules else ClosedEgress()

    @property
    def resolver_inside(self) -> str:
        """What stands in a container's /etc/resolv.conf."""
        return self.resolver or ENGINES_RESOLVER

    def start(self) -> None:
        """Answer questions for names."""
        if self._rules:
            self._rules.names.start()

    def mend(self) -> None:
        """Networks and rules, should somebody have taken them away."""
        try:
            if self._have_networks():
                log.warning("network made again", extra={"host": self._host_id})
            if self._rules and self._rules.firewall.ensure():
                self._rules.admissions.again()
                log.warning("firewall made again", extra={"host": self._host_id})
        except (EngineError, NoFirewall) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, NoFirewall | EgressFailed) else ""
            log.warning("walls cannot be mended", extra={"host": self._host_id, "reason": reason})

    def close(self, *, remove: bool) -> None:
        """Answer nobody any more; with `remove` nothing is left."""
        if self._rules:
            self._rules.names.close()
        if not remove:
            return
        for network in self._bridges:
            try:
                self._engine.drop_network(network)
            except EngineError:
                log.warning("network left", extra={"host": self._host_id})
        if self._rules:
            self._rules.firewall.remove()

    def _have_networks(self) -> bool:
        made = [self._engine.ensure_network(name, bridge) for name, bridge in self._bridges.items()]
        return any(made)


def bridge_of(host_id: str) -> str:
    """The open bridge's name: 15 characters at most with a letter for the other one, the same after every start."""
    return f"berth{zlib.crc32(host_id.encode()):08x}"


def _rules(settings: Settings, open_bridge: str, held_bridge: str) -> _Rules:
    nft = Nft(open_bridge, settings.engine_netns)
    admissions = Admissions(nft)
    try:
        names = NameServer(settings.engine_netns, resolvers_of(settings.resolv_conf), admissions)
    except NoSockets as error:
        raise NoFirewall(str(error)) from error
    firewall = Firewall(nft, Gate(open_bridge, names.open.port), Gate(held_bridge, names.held.port))
    try:
        firewall.ensure()
    except NoFirewall:
        names.close()
        raise
    return _Rules(firewall, names, admissions)
