"""Walls round the containers' networks: bridges come in, packet rules keep them from the host and each other.

One table of our own, which neither the engine nor another one on the machine ever flushes. Two bridges: from the open
one the public internet can be reached, from the held one only what a container was given (`egress`). Rules here only
take away: what they let pass still has to pass the engine's own.
"""

import logging
from dataclasses import dataclass

from infra.hostagent.network.nft import Nft, NoFirewall

log = logging.getLogger("berth.agent.firewall")

REFUSED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
"""What containers may not reach: everything that is not the public internet."""

MAIL = (25, 465, 587)
"""Ports that mail is handed in at: nobody sends mail from here."""

CONNECTIONS = 2000
"""Most connections that one container has at a time."""
BEGUN, BEGUN_AT_ONCE = 100, 1000
"""Connections that one container begins, in a second and in a burst."""
QUESTIONS, QUESTIONS_AT_ONCE = 50, 200
"""Packets that one container sends to the name server, in a second and in a burst."""

RESOLVER = "169.254.20.53"
"""Where containers ask for names: an address of nobody's, which the rules turn into the agent's name server."""

REACH_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Gate:
    """A bridge, and the port of the name server that answers on it."""

    bridge: str
    port: int


class Firewall:
    """The rules of one host."""

    def __init__(self, nft: Nft, open_gate: Gate, held_gate: Gate) -> None:
        self._nft = nft
        self._gates = (open_gate, held_gate)
        self._set: str | None = None

    def ensure(self) -> bool:
        """Have every rule; true when they had to be set. NoFirewall."""
        if self._set is not None and self._nft.listing() == self._set:
            return False
        script = script_of(self._nft.table, *self._gates)
        try:
            self._nft.run(script)
        except NoFirewall:
            self._nft.delete()  # of another make: rules of an older agent, say
            self._nft.run(script)
        self._set = self._nft.listing()
        log.info("firewall set", extra={"bridge": self._gates[0].bridge})
        return True

    def remove(self) -> None:
        """Have none of the rules."""
        try:
            self._nft.delete()
        except NoFirewall as error:
            log.warning("firewall cannot be taken away", extra={"reason": str(error)})


def script_of(table: str, open_gate: Gate, held_gate: Gate) -> str:
    """The whole table, for `nft`: chains are emptied and filled again, what is in the sets stays."""
    chains = _chains(open_gate, held_gate)
    lines = [f"add table inet {table}"]
    lines += [f"add {kind} inet {table} {name} {{ {body} }}" for kind, name, body in _SETS]
    for name, (hook, _) in chains.items():
        lines += [f"add chain inet {table} {name} {{ {hook} }}" if hook else f"add chain inet {table} {name}"]
    lines += [f"flush chain inet {table} {name}" for name in chains]
    lines += [f"add rule inet {table} {name} {rule}" for name, (_, rules) in chains.items() for rule in rules]
    return "\n".join(lines) + "\n"


_SETS = (
    ("map", "owner", "type ether_addr . ipv4_addr : mark;"),
    ("set", "owners", "type ether_addr . ipv4_addr . mark;"),
    ("set", "reach", f"type mark . ipv4_addr; flags timeout; size {REACH_SIZE};"),
    ("set", "connections", "type ipv4_addr; flags dynamic; size 65536;"),
    ("set", "begun", "type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65536;"),
    ("set", "questions", "type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65536;"),
)
"""`owner` and `owners`: the number of whoever has this card and this address. `reach`: what a number may reach."""


def _chains(opened: Gate, held: Gate) -> dict[str, tuple[str, list[str]]]:
    """Chains by name: where they hook in, and their rules. Those that others jump to come first."""
    both = f"{{ {opened.bridge}, {held.bridge} }}"
    early = "priority filter - 10; policy accept;"
    return {
        "refuse": ("", ["meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited"]),
        "who": ("", ["ct state new ct mark set ether saddr . ip saddr map @owner"]),
        "reaching": (
            "",
            ["ct state established,related return", "ct state new ct mark . ip daddr @reach return", _REFUSE],
        ),
        "held": ("", ["jump who", "ether saddr . ip saddr . ct mark @owners goto reaching", _REFUSE]),
        "leaving": (
            "",
            [
                "meta nfproto ipv6 drop",
                "fib saddr . iif oif missing drop",  # an address that is not of this bridge
                f"iifname {held.bridge} jump held",
                f"ip daddr {{ {', '.join(REFUSED)} }} {_REFUSE}",
                f"tcp dport {{ {', '.join(map(str, MAIL))} }} {_REFUSE}",
                f"ct state new update @begun {{ ip saddr {_over(BEGUN, BEGUN_AT_ONCE)} }} drop",
                f"ct state new add @connections {{ ip saddr ct count over {CONNECTIONS} }} {_REFUSE}",
            ],
        ),
        "asking": ("", [f"update @questions {{ ip saddr {_over(QUESTIONS, QUESTIONS_AT_ONCE)} }} drop", "accept"]),
        "known": ("", [f"{_REDIRECTED} th dport {held.port} jump asking", "drop"]),
        "entering": (
            "",
            [
                "meta nfproto ipv6 drop",
                f"iifname {opened.bridge} {_REDIRECTED} th dport {opened.port} jump asking",
                f"iifname {held.bridge} jump who",
                f"iifname {held.bridge} ether saddr . ip saddr . ct mark @owners goto known",
                "drop",
            ],
        ),
        "prerouting": (
            "type nat hook prerouting priority dstnat - 10; policy accept;",
            [
                f"iifname {gate.bridge} ip daddr {RESOLVER} {protocol} dport 53 redirect to :{gate.port}"
                for gate in (opened, held)
                for protocol in ("udp", "tcp")
            ],
        ),
        "input": (
            f"type filter hook input {early}",
            [
                f"iifname {both} jump entering",
                f"iifname != {both} meta l4proto {{ tcp, udp }} th dport {{ {opened.port}, {held.port} }} drop",
            ],
        ),
        "forward": (
            f"type filter hook forward {early}",
            [f"iifname {both} jump leaving", f"oifname {both} ct state != {{ established, related }} drop"],
        ),
    }


_REFUSE = "goto refuse"
_REDIRECTED = f"ct original ip daddr {RESOLVER} meta l4proto {{ tcp, udp }}"
"""To the name server under its own address; its port on the bridge's is as closed as all others."""


def _over(rate: int, burst: int) -> str:
    return f"limit rate over {rate}/second burst {burst} packets"
