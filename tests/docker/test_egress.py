"""How far containers of a real agent reach, in each network mode, in an internet of the test's own."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.network.firewall import CONNECTIONS, QUESTIONS_AT_ONCE, RESOLVER
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on
from tests.docker.internet import (
    ALLOWED,
    CDN,
    METADATA,
    NAMES_AT,
    OTHER,
    PRIVATE,
    Upstream,
    internet_beside,
    run,
    upstream_at,
)

LISTED = ["allowed.example.org", "*.wild.example.org"]
ZONE = {
    ("allowed.example.org", "A"): [f"allowed.example.org 5 IN A {ALLOWED}"],
    ("allowed.example.org", "TXT"): ['allowed.example.org 5 IN TXT "hello"'],
    ("other.example.org", "A"): [f"other.example.org 5 IN A {OTHER}"],
    ("cdn.example.net", "A"): [f"cdn.example.net 5 IN A {CDN}"],
    ("site.wild.example.org", "A"): [
        "site.wild.example.org 5 IN CNAME cdn.example.net",
        f"cdn.example.net 5 IN A {CDN}",
        f"other.example.org 5 IN A {OTHER}",  # nobody asked for it
    ],
    ("rebound.wild.example.org", "A"): [
        f"rebound.wild.example.org 5 IN A {METADATA}",
        f"rebound.wild.example.org 5 IN A {PRIVATE}",
        "rebound.wild.example.org 5 IN A 127.0.0.1",
    ],
    ("half.wild.example.org", "A"): [
        f"half.wild.example.org 5 IN A {METADATA}",
        f"half.wild.example.org 5 IN A {ALLOWED}",
    ],
    ("vault.corp.internal", "A"): [f"vault.corp.internal 5 IN A {OTHER}"],
}


@dataclass
class Ground:
    """One agent in one small world."""

    agent: RunningAgent
    upstream: Upstream

    def container(self, mode: NetworkMode, domains: list[str] | None = None) -> ContainerSpec:
        spec = a_spec(image=TINY, network_mode=mode, allowed_domains=domains or [])
        self.agent.create(spec)
        self.agent.until(spec.container_id, "ready")
        return spec

    def remove(self, spec: ContainerSpec) -> None:
        self.agent.remove(spec)

    def says(self, spec: ContainerSpec, target: str, port: int = 80) -> str:
        """The last word of the page there; nothing when it cannot be reached."""
        return self.inside(spec, f"nc -w 2 {target} {port} </dev/null 2>/dev/null").strip().rpartition(" ")[2]

    def resolves(self, spec: ContainerSpec, name: str, kind: str = "a", server: str = "") -> str:
        return self.inside(spec, f"nslookup -type={kind} {name} {server} 2>&1")

    def inside(self, spec: ContainerSpec, command: str) -> str:
        return self.agent.inside(spec.container_id, command)

    def address(self, spec: ContainerSpec) -> str:
        return self.inside(spec, "ip -4 -o addr show eth0").split()[3].partition("/")[0]

    def connects(self, spec: ContainerSpec, address: str, port: int) -> bool:
        return "DONE" in self.inside(spec, f"nc -w 1 {address} {port} </dev/null >/dev/null 2>&1 && echo DONE")


@pytest.fixture(scope="module")
def ground(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("egress")
    resolv_conf = folder / "resolv.conf"
    resolv_conf.write_text(f"nameserver {NAMES_AT}\n")
    with upstream_at(NAMES_AT) as upstream, internet_beside(engine):
        upstream.zone.update(ZONE)
        with agent_on(engine, queues, folder / "agent", "--resolv-conf", str(resolv_conf)) as agent:
            yield Ground(agent, upstream)


@pytest.fixture(scope="module")
def free(ground: Ground) -> ContainerSpec:
    return ground.container(NetworkMode.DEFAULT)


@pytest.fixture(scope="module")
def held(ground: Ground) -> ContainerSpec:
    return ground.container(NetworkMode.RESTRICTED, LISTED)


@pytest.fixture
def fresh(ground: Ground) -> Iterator[Callable[[list[str]], ContainerSpec]]:
    """Containers held to these names, removed after the test."""
    made: list[ContainerSpec] = []

    def make(domains: list[str]) -> ContainerSpec:
        made.append(ground.container(NetworkMode.RESTRICTED, domains))
        return made[-1]

    yield make
    for spec in made:
        with contextlib.suppress(ValueError):  # removed already
            ground.remove(spec)


def test_default_reaches_every_public_address_by_name_and_without(ground: Ground, free: ContainerSpec) -> None:
    assert ground.says(free, "allowed.example.org") == ALLOWED
    assert ground.says(free, "other.example.org") == OTHER
    assert ground.says(free, CDN) == CDN


def test_none_reaches_nothing(ground: Ground) -> None:
    spec = ground.container(NetworkMode.NONE)

    assert ground.inside(spec, "ls /sys/class/net").split() == ["lo"]
    assert ground.says(spec, ALLOWED) == ""
    ground.remove(spec)


def test_restricted_reaches_its_names(ground: Ground, held: ContainerSpec) -> None:
    assert ground.says(held, "allowed.example.org") == ALLOWED
    assert "hello" in ground.resolves(held, "allowed.example.org", "txt")


def test_restricted_reaches_no_other_name_and_nobody_is_asked_for_one(ground: Ground, held: ContainerSpec) -> None:
    ground.upstream.asked.clear()
    for name in ("other.example.org", "secret-data.tunnel.example", "wild.example.org", "xallowed.example.org"):
        for kind in ("a", "txt", "mx"):
            for server in ("", "127.0.0.11"):
                assert "NXDOMAIN" in ground.resolves(held, name, kind, server), (name, kind, server)
        assert ground.says(held, name) == ""
        assert name not in ground.upstream.asked


def test_restricted_reaches_no_address_that_no_name_of_its_own_led_to(
    ground: Ground, fresh: Callable[[list[str]], ContainerSpec]
) -> None:
    spec = fresh(["allowed.example.org"])

    assert ground.says(spec, ALLOWED) == ""
    assert ground.says(spec, "allowed.example.org") == ALLOWED
    assert ground.says(spec, ALLOWED) == ALLOWED
    for port in (53, 80, 443):
        assert ground.says(spec, OTHER, port) == "", port
    assert "timed out" in ground.resolves(spec, "allowed.example.org", server=OTHER)


def test_a_chain_of_names_gives_its_end_and_nothing_that_was_not_asked_for(
    ground: Ground, fresh: Callable[[list[str]], ContainerSpec]
) -> None:
    spec = fresh(LISTED)

    assert ground.says(spec, "site.wild.example.org") == CDN
    assert ground.says(spec, OTHER) == ""
    assert "NXDOMAIN" in ground.resolves(spec, "cdn.example.net")


def test_a_name_of_its_own_does_not_lead_inside(ground: Ground, free: ContainerSpec, held: ContainerSpec) -> None:
    for spec in (free, held):
        answer = ground.resolves(spec, "rebound.wild.example.org")
        assert not any(each in answer for each in (METADATA, PRIVATE)), answer
        assert ground.says(spec, "half.wild.example.org") == ALLOWED
        for address in (METADATA, PRIVATE):
            assert ground.says(spec, address) == "", address


def test_names_of_the_hosts_surroundings_are_nobodys(ground: Ground, free: ContainerSpec) -> None:
    for name in ("vault.corp.internal", "printer", "4.3.2.10.in-addr.arpa"):
        assert "NXDOMAIN" in ground.resolves(free, name, "ptr" if name.endswith("arpa") else "a")
        assert name not in ground.upstream.asked


def test_neighbours_are_unreachable_in_every_mode(ground: Ground, free: ContainerSpec, held: ContainerSpec) -> None:
    others = {
        NetworkMode.DEFAULT: ground.container(NetworkMode.DEFAULT),
        NetworkMode.RESTRICTED: ground.container(NetworkMode.RESTRICTED, LISTED),
    }
    for spec in others.values():
        ground.inside(spec, "(while true; do nc -l -p 8000; done) >/dev/null 2>&1 &")
    for mine in (free, held):
        for mode, spec in others.items():
            assert ground.says(mine, ground.address(spec), 8000) == "", (mine.network_mode, mode)
            assert "1 packets" not in ground.inside(mine, f"ping -c1 -W1 {ground.address(spec)} 2>&1")
    for spec in others.values():
        ground.remove(spec)


def test_nobody_from_outside_reaches_a_container(ground: Ground, free: ContainerSpec) -> None:
    ground.inside(free, "(while true; do echo hello | nc -l -p 8000; done) >/dev/null 2>&1 &")
    address = ground.address(free)
    world = next(each for each in Path("/run/netns").iterdir() if each.name.startswith("berth-world-"))
    run("ip", "-n", world.name, "route", "replace", address, "via", "198.51.100.1")

    connect = f"import socket; socket.create_connection(('{address}', 8000), 2)"
    tried = subprocess.run(["nsenter", f"--net={world}", "python3", "-c", connect], check=False, capture_output=True)

    assert tried.returncode != 0
    assert b"timed out" in tried.stderr


def test_mail_is_refused_even_to_a_listed_name(ground: Ground, free: ContainerSpec, held: ContainerSpec) -> None:
    for spec in (free, held):
        assert ground.says(spec, "allowed.example.org") == ALLOWED
        for port in (25, 465, 587):
            assert ground.says(spec, "allowed.example.org", port) == "", port


def test_the_resolver_gives_nothing_but_names(ground: Ground, free: ContainerSpec, held: ContainerSpec) -> None:
    table = nft(ground.agent.engine.netns, "list", "table", "inet", bridge_table(ground))
    ports = {int(port) for port in re.findall(r"redirect to :(\d+)", table)}
    assert len(ports) == 2
    for spec in (free, held):
        for port in (22, 80, 5353, *ports):
            assert not ground.connects(spec, RESOLVER, port), port
            assert not ground.connects(spec, gateway_of(ground, spec), port), port
        assert ground.connects(spec, RESOLVER, 53)
        assert "AAAA" not in ground.resolves(spec, "allowed.example.org", "aaaa")
        assert not ground.inside(spec, "cat /proc/net/if_inet6 2>/dev/null | grep -v ' lo$'")


def test_packets_that_are_no_questions_break_nothing(ground: Ground, held: ContainerSpec) -> None:
    ground.inside(held, f"for n in 1 2 3; do head -c 300 /dev/urandom | nc -u -w 1 {RESOLVER} 53; done")
    ground.inside(held, f"head -c 300 /dev/urandom | nc -w 1 {RESOLVER} 53")

    assert ground.says(held, "allowed.example.org") == ALLOWED


def test_a_flood_of_questions_reaches_nobody(ground: Ground, held: ContainerSpec, free: ContainerSpec) -> None:
    """The kernel drops them; a neighbour's questions are answered meanwhile."""
    before = len(ground.upstream.asked)
    question = r"printf '\0\1\1\0\0\1\0\0\0\0\0\0\7allowed\7example\3org\0\0\1\0\1'"
    ground.inside(
        held, f"{question} > /tmp/q; for n in $(seq 2000); do nc -u -w 0 {RESOLVER} 53 < /tmp/q >/dev/null 2>&1 & done"
    )

    assert ground.says(free, "other.example.org") == OTHER
    time.sleep(2)
    assert len(ground.upstream.asked) - before < 3 * QUESTIONS_AT_ONCE
    ground.inside(held, "wait; sleep 2")


def test_connections_are_counted(ground: Ground, free: ContainerSpec) -> None:
    """By the rules' own number, taken down to five while the agent stands still; the next look sets it right."""
    table, netns = bridge_table(ground), ground.agent.engine.netns
    rules = nft(netns, "-a", "list", "chain", "inet", table, "leaving")
    [line] = [each for each in rules.splitlines() if f"ct count over {CONNECTIONS}" in each]
    rule, _, handle = line.strip().rpartition(" # handle ")
    few = rule.replace(f"over {CONNECTIONS}", "over 5").replace("@connections", "@few")
    connect = f"for n in $(seq 9); do (sleep 3 | nc -w 3 {ALLOWED} 80 2>&1) & done; wait"

    with standing_still(ground.agent):
        nft(netns, "add", "set", "inet", table, "few", "{ type ipv4_addr; flags dynamic; size 64; }")
        nft(netns, "replace", "rule", "inet", table, "leaving", "handle", handle, few)
        opened = ground.inside(free, connect)

    assert (opened.count(f"this is {ALLOWED}"), opened.count("refused")) == (5, 4), opened
    ground.agent.wait(lambda: f"over {CONNECTIONS}" in nft(netns, "list", "chain", "inet", table, "leaving"))
    assert ground.inside(free, connect).count(f"this is {ALLOWED}") == 9


@contextlib.contextmanager
def standing_still(agent: RunningAgent) -> Iterator[None]:
    os.kill(agent.child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent.child.pid, signal.SIGCONT)


def test_a_restarted_agent_keeps_everybody_where_they_were(
    ground: Ground, fresh: Callable[[list[str]], ContainerSpec]
) -> None:
    spec = fresh(["allowed.example.org"])
    assert ground.says(spec, "allowed.example.org") == ALLOWED
    talk = f"(for n in $(seq 40); do echo word$n; sleep 0.5; done) | nc -w 30 {ALLOWED} 80 > /tmp/heard 2>&1 &"
    ground.inside(spec, talk)
    ground.agent.child.kill()
    assert ground.says(spec, OTHER) == ""
    ground.agent.start()

    assert ground.says(spec, "allowed.example.org") == ALLOWED
    assert ground.says(spec, OTHER) == ""
    assert "NXDOMAIN" in ground.resolves(spec, "other.example.org")
    heard = ground.inside(spec, "cat /tmp/heard").split()[-1]
    ground.agent.wait(lambda: ground.inside(spec, "cat /tmp/heard").split()[-1] != heard)  # it goes on


def test_the_next_container_with_an_address_has_none_of_its_rights(
    ground: Ground, fresh: Callable[[list[str]], ContainerSpec]
) -> None:
    first = fresh(["allowed.example.org"])
    assert ground.says(first, "allowed.example.org") == ALLOWED
    address = ground.address(first)
    ground.remove(first)

    second = fresh(["other.example.org"])

    assert ground.address(second) == address
    assert ground.says(second, ALLOWED) == ""
    assert "NXDOMAIN" in ground.resolves(second, "allowed.example.org")
    assert ground.says(second, "other.example.org") == OTHER


def test_rights_come_back_after_a_stop_and_end_with_the_answers_time(
    ground: Ground, fresh: Callable[[list[str]], ContainerSpec]
) -> None:
    spec = fresh(["allowed.example.org"])
    ground.agent.power(spec, "restart")
    ground.agent.until(spec.container_id, "started")

    assert ground.says(spec, "allowed.example.org") == ALLOWED
    forget(ground)  # as time does

    assert ground.says(spec, ALLOWED) == ""


def test_rules_that_somebody_took_away_are_there_again(ground: Ground, held: ContainerSpec) -> None:
    table, netns = bridge_table(ground), ground.agent.engine.netns
    nft(netns, "delete", "table", "inet", table)

    ground.agent.wait(lambda: bridge_table(ground))
    ground.agent.wait(lambda: ground.says(held, "allowed.example.org") == ALLOWED)
    assert ground.says(held, OTHER) == ""


def test_a_network_made_again_is_walled_in_as_before(ground: Ground) -> None:
    """With a container that was stopped meanwhile."""
    spec = ground.container(NetworkMode.RESTRICTED, LISTED)
    others = [each for each in ground.agent.containers() if each.labels["berth.container"] != spec.container_id]
    held = [
        each for each in others if f"berth-held-{ground.agent.host_id}" in each.attrs["NetworkSettings"]["Networks"]
    ]
    for container in held:
        container.stop(timeout=0)
    ground.agent.power(spec, "stop")
    ground.agent.until(spec.container_id, "stopped")
    with contextlib.closing(ground.agent.engine.client()) as client:
        [network] = client.networks.list(names=[f"berth-held-{ground.agent.host_id}"])
        network.remove()
        ground.agent.wait(lambda: client.networks.list(names=[f"berth-held-{ground.agent.host_id}"]))

    ground.agent.power(spec, "start")
    ground.agent.until(spec.container_id, "started")

    assert ground.says(spec, "allowed.example.org") == ALLOWED
    assert ground.says(spec, OTHER) == ""


def nft(netns: str | None, *arguments: str) -> str:
    enter = ["nsenter", f"--net={netns}"] if netns else []
    done = subprocess.run([*enter, "nft", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def bridge_table(ground: Ground) -> str:
    """The agent's table; nothing when there is none."""
    with contextlib.closing(ground.agent.engine.client()) as client:
        [network] = client.networks.list(names=[f"berth-{ground.agent.host_id}"])
    bridge = str(network.attrs["Options"]["com.docker.network.bridge.name"])
    return bridge if f"table inet {bridge}\n" in nft(ground.agent.engine.netns, "list", "tables") else ""


def gateway_of(ground: Ground, spec: ContainerSpec) -> str:
    return ground.inside(spec, "ip route show default").split()[2]


def forget(ground: Ground) -> None:
    nft(ground.agent.engine.netns, "flush", "set", "inet", bridge_table(ground), "reach")
