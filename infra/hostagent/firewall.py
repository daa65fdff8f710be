"""Walls round the containers' network: a bridge comes in, packet rules keep it from the host and private networks.

INPUT closes the host's own ports (DOCKER-USER filters forwarded packets only); DOCKER-USER refuses private,
link-local, metadata and multicast addresses, except name service at the resolvers the engine uses.
"""

import ipaddress
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("berth.agent.firewall")

REFUSED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""What containers may not reach: everything that is not the public internet."""


class NoFirewall(Exception):
    """The rules cannot be set here; the text says why."""


@dataclass(frozen=True, slots=True)
class Firewall:
    """The rules of one bridge, in the network namespace the engine's bridges live in (None = the machine's own)."""

    bridge: str
    netns: str | None
    resolvers: tuple[str, ...]

    def ensure(self) -> None:
        """Have every rule once and in order, or NoFirewall."""
        if os.geteuid() != 0:
            raise NoFirewall("only root can set packet rules: run the agent as root")
        if all(self._iptables("-C", *rule) for rule in self._rules()):
            return
        self.remove()
        for rule in reversed(self._rules()):
            if not self._iptables("-I", *rule):
                raise NoFirewall("iptables refused a rule: is it installed, and has the engine its DOCKER-USER chain?")
        log.info("firewall set", extra={"bridge": self.bridge})

    def remove(self) -> None:
        """Have none of the rules."""
        for rule in self._rules():
            while self._iptables("-D", *rule):
                pass

    def _rules(self) -> list[list[str]]:
        mark = ["-m", "comment", "--comment", f"berth {self.bridge}"]
        from_bridge = ["-i", self.bridge]
        rules = [["INPUT", *from_bridge, *mark, "-j", "DROP"]]
        for resolver in self.resolvers:
            for protocol in ("udp", "tcp"):
                question = ["-d", resolver, "-p", protocol, "--dport", "53"]
                rules.append(["DOCKER-USER", *from_bridge, *question, *mark, "-j", "RETURN"])
        for network in REFUSED:
            rules.append(["DOCKER-USER", *from_bridge, "-d", network, *mark, "-j", "REJECT"])
        return rules

    def _iptables(self, action: str, chain: str, *rule: str) -> bool:
        enter = ["nsenter", f"--net={self.netns}"] if self.netns else []
        command = [*enter, "iptables", "--wait", action, chain, *rule]
        try:
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, env=_path())
        except FileNotFoundError:
            return False
        return done.returncode == 0


def resolvers_of(resolv_conf: Path) -> tuple[str, ...]:
    """The name servers in a resolver configuration that containers must be able to ask."""
    servers = []
    for line in resolv_conf.read_text().splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_ipv4(words[1]):
            servers.append(words[1])
    return tuple(dict.fromkeys(servers))


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False


def _path() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
