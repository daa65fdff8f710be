"""A network namespace with a way out: a short key comes in, its path goes out; nothing stays after removal.

A second dockerd in one network namespace flushes the first one's isolation rules, so a private engine gets its own
(measured; see docs/adr/0003).
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """One namespace joined to the machine's network by a pair of virtual cards and address translation."""

    key: str

    @property
    def name(self) -> str:
        return f"berth-{self.key}"

    @property
    def path(self) -> str:
        """What `nsenter --net=` takes."""
        return f"/run/netns/{self.name}"

    def create(self) -> None:
        """Make it anew, removing what an earlier run may have left."""
        self.remove()
        outer, inner, subnet = self._cards()
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
        _run("ip", "addr", "add", f"{subnet}.{self._octet + 1}/30", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        _run("ip", "-n", self.name, "addr", "add", f"{subnet}.{self._octet + 2}/30", "dev", inner)
        _run("ip", "-n", self.name, "link", "set", inner, "up")
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        _run("ip", "-n", self.name, "route", "add", "default", "via", f"{subnet}.{self._octet + 1}")
        _FORWARD.write_text("1")
        _run("nsenter", f"--net={self.path}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for rule in self._rules():
            _run("iptables", rule[0], rule[1], "-I" if rule[1] != "nat" else "-A", *rule[2:])

    def remove(self) -> None:
        """Remove it, its cards and its rules, as far as they are there."""
        for rule in self._rules():
            while _succeeds("iptables", rule[0], rule[1], "-D", *rule[2:]):
                pass
        _succeeds("ip", "link", "del", self._cards()[0])
        _succeeds("ip", "netns", "del", self.name)

    @property
    def _octet(self) -> int:
        return int(self.key[:2], 16) % 64 * 4

    def _cards(self) -> tuple[str, str, str]:
        return f"bth{self.key}a", f"bth{self.key}b", f"172.28.{int(self.key[2:4], 16)}"

    def _rules(self) -> list[list[str]]:
        outer, _, subnet = self._cards()
        mark = ["-m", "comment", "--comment", self.name]
        return [
            ["-t", "nat", "POSTROUTING", "-s", f"{subnet}.{self._octet}/30", *mark, "-j", "MASQUERADE"],
            ["-t", "filter", "FORWARD", "-i", outer, *mark, "-j", "ACCEPT"],
            ["-t", "filter", "FORWARD", "-o", outer, *mark, "-j", "ACCEPT"],
        ]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
