"""Rows 14-20: who can be reached from inside, and as whom."""

import time
from collections.abc import Iterable

from tests.escape.attempts import all_of, refused, tried, until
from tests.escape.cells import Cell
from tests.escape.world import INTERNET, METADATA, PORTS, PRIVATE, datagrams
from tests.limits.probes import WATCHDOG_SECONDS, Ground, Probe, Verdict, probe
from tests.pace import SLOWNESS

NETWORK: list[Probe] = []

_SCAN = r"""
use Socket; use Errno qw(EINPROGRESS); use Fcntl;
my ($address, $wait, @ports) = @ARGV;
@ports = ($1 .. $2) if @ports == 1 && $ports[0] =~ /^(\d+)-(\d+)$/;
while (my @some = splice @ports, 0, 900) {
  my (%asked, $bits);
  for my $port (@some) {
    socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    fcntl($s, F_SETFL, O_NONBLOCK);
    if (connect($s, sockaddr_in($port, inet_aton($address)))) { print "$port\n"; next }
    next unless $! == EINPROGRESS;
    $asked{fileno $s} = [$port, $s]; vec($bits, fileno $s, 1) = 1;
  }
  my $rounds = $wait / 0.05;
  while (%asked && $rounds-- > 0) {
    select(undef, my $ready = $bits, undef, 0.05) or next;
    for my $n (grep { vec($ready, $_, 1) } keys %asked) {
      my ($port, $s) = @{delete $asked{$n}}; vec($bits, $n, 1) = 0;
      print "$port\n" if unpack("i", getsockopt($s, SOL_SOCKET, SO_ERROR)) == 0;
    }
  }
}
"""


def open_ports(ground: Ground, address: str, ports: Iterable[int] | str, wait: float = 1) -> set[int]:
    """Of these ports of that address, those that take a connection from inside."""
    wanted = ports if isinstance(ports, str) else " ".join(map(str, ports))
    seen = ground.run(f"perl - {address} {wait * SLOWNESS} {wanted} <<'END'\n{_SCAN}\nEND\n")
    assert seen.exit_code == 0, seen.output
    return {int(word) for word in seen.words}


def _closed(cell: Cell, addresses: Iterable[str]) -> Verdict:
    """No port is open from inside, though each is when the host asks."""
    reached = []
    for address in addresses:
        assert cell.world.answers(address, PORTS[0]), f"{address} does not even answer the host"
        reached += [f"{address}:{port}" for port in open_ports(cell, address, PORTS)]
    return Verdict(held=not reached, seen=f"reached: {', '.join(reached)}" if reached else "none of them open")


def _address(ground: Ground) -> str:
    return ground.run("hostname -I").words[0]


def _gateway(ground: Ground) -> str:
    route = ground.run("awk '$2 == \"00000000\" { print $3 }' /proc/net/route").words[0]
    return ".".join(str(int(route[at : at + 2], 16)) for at in (6, 4, 2, 0))


@probe(14, "metadata services", NETWORK)
def metadata(cell: Cell) -> Verdict:
    """Those of the clouds, by both protocols."""
    return all_of(_closed(cell, METADATA), _no_ipv6(cell))


def _no_ipv6(ground: Ground) -> Verdict:
    cards = ground.run("awk '$6 != \"lo\"' /proc/net/if_inet6 2>/dev/null").words
    return Verdict(held=not cards, seen=f"IPv6: {cards}" if cards else "no IPv6")


@probe(15, "every port of the host", NETWORK)
def host_ports(cell: Cell) -> Verdict:
    """65,535 of the gateway's, and the agent's and a listener's on every other address of the host."""
    world, gateway = cell.world, _gateway(cell)
    assert world.answers(gateway, world.host_port)
    parts = (f"{first}-{min(first + 8999, 65535)}" for first in range(1, 65536, 9000))
    found = {f"{gateway}:{port}" for part in parts for port in open_ports(cell, gateway, part, wait=0.1)}
    for address in ("172.29.0.1", "203.0.113.1", "127.0.0.1"):
        ports = (world.host_port, cell.agent.port, 22, 2375, 7070)
        found |= {f"{address}:{port}" for port in open_ports(cell, address, ports)}
    return Verdict(held=not found, seen=f"open: {', '.join(sorted(found)[:9])}" if found else "0 open")


@probe(16, "other containers", NETWORK)
def others(cell: Cell) -> Verdict:
    """Neither a connection, nor a broadcast, nor what answers for a whole network."""
    victim = _address(cell.other)
    cell.other.spawn(_victim(8000, 8001))
    until(lambda: open_ports(cell.other, victim, [8000]) == {8000})
    connected = open_ports(cell, victim, [8000, 8001, 22])
    spoken = ("224.0.0.251", "255.255.255.255", victim, victim.rpartition(".")[0] + ".255")
    with datagrams(cell.world, 67) as asked:
        for address in spoken:
            for port in (8001, 67, 5353):
                cell.run(_datagram(address, port))
        time.sleep(0.5 * SLOWNESS)
    heard = cell.other.run("cat /tmp/heard").words
    ends = [
        Verdict(held=not connected, seen=f"connected to {connected}" if connected else "no connection"),
        Verdict(held=not heard, seen=f"it heard {len(heard)} datagrams" if heard else "no datagram"),
        Verdict(held=not asked, seen=f"the host heard {len(asked)}" if asked else "no DHCP"),
    ]
    packets = {"forged ARP": "perl -MSocket -e 'exit !socket(P, 17, SOCK_RAW, 0x0608)'"}
    return all_of(*ends, refused(tried(cell, packets)), _no_ipv6(cell))


def _victim(tcp: int, udp: int) -> str:
    """Takes connections, and writes down who sends it datagrams."""
    return f"""perl -e '
        use Socket; if (!fork) {{
            socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in({tcp}, INADDR_ANY)); listen(S, 9);
            while (accept(C, S)) {{ close C }} exit }}
        unlink "/tmp/heard"; open(H, ">", "/tmp/heard"); H->autoflush; my @u;
        for my $port ({udp}, 67, 5353) {{
            socket(my $u, PF_INET, SOCK_DGRAM, 0); bind($u, sockaddr_in($port, INADDR_ANY));
            setsockopt($u, 0, 35, pack("a4 a4", inet_aton("224.0.0.251"), INADDR_ANY)); push @u, $u;
            if (!fork) {{ while (my $f = recv($u, my $x, 99, 0)) {{ syswrite H, "$port\\n" }} exit }} }}
        sleep {WATCHDOG_SECONDS - 5}'"""


def _datagram(address: str, port: int) -> str:
    return (
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); setsockopt(S, SOL_SOCKET, SO_BROADCAST, 1);"
        f' send(S, "x", 0, sockaddr_in({port}, inet_aton("{address}")))\''
    )


@probe(17, "private networks", NETWORK)
def private(cell: Cell) -> Verdict:
    """Networks of companies, carriers and laboratories, while the public internet answers."""
    reached = open_ports(cell, INTERNET, [80, 443])
    assert cell.world.answers(INTERNET, 80)
    internet = Verdict(held=reached == {80, 443}, seen=f"internet at {sorted(reached)}")
    return all_of(_closed(cell, PRIVATE), internet)


@probe(18, "names of others", NETWORK)
def names(cell: Cell) -> Verdict:
    """No name leads to another container, the host or a cloud's inside; without a network nothing is asked at all."""
    [victim] = cell.agent.containers(cell.other.spec.container_id)
    asked = (
        victim.name, victim.name.removesuffix("-1"), victim.attrs["Config"]["Hostname"], victim.id[:12],
        "host.docker.internal", "gateway.docker.internal", "metadata.google.internal", "instance-data",
    )  # fmt: skip
    answered = {name: f"getent ahosts {name}" for name in asked}
    return refused(tried(cell, answered))


@probe(19, "mail, floods of connections", NETWORK)
def floods(cell: Cell) -> Verdict:
    """No mail is handed in, and nobody has thousands of connections."""
    mail = open_ports(cell, INTERNET, [25])
    held = f"""for i in 1 2 3; do perl -e '
        use Socket; my $n = 0; my @held; my $end = time + {6 * SLOWNESS};
        while (time < $end && $n < 1000) {{
            socket(my $s, PF_INET, SOCK_STREAM, 0) or last; alarm 0; local $SIG{{ALRM}} = sub {{ die }};
            eval {{
                alarm {SLOWNESS}; if (connect($s, sockaddr_in(80, inet_aton("{INTERNET}")))) {{ $n++; push @held, $s }}
            }};
            alarm 0 }}
        print "$n\\n"; sleep {7 * SLOWNESS} - ($end - time)' & done; wait"""
    connections = sum(map(int, cell.run(held).words))
    return all_of(
        Verdict(held=not mail, seen="mail handed in" if mail else "no mail"),
        Verdict(held=connections <= 2500, seen=f"{connections} connections at a time"),
    )


@probe(20, "sender's address forged", NETWORK)
def forged(cell: Cell) -> Verdict:
    """No other address is spoken from, whether or not the kernel lets it be bound."""
    victim = _address(cell.other)
    lines = {
        "bound": f'bind(S, sockaddr_in(0, inet_aton("{victim}"))) and'
        f' connect(S, sockaddr_in(80, inet_aton("{INTERNET}")))',
        "free": f'setsockopt(S, 0, 15, pack("i", 1)) and bind(S, sockaddr_in(0, inet_aton("{victim}")))'
        f' and connect(S, sockaddr_in(80, inet_aton("{INTERNET}")))',
        "transparent": 'setsockopt(S, 0, 19, pack("i", 1))',
        "header": "socket(R, PF_INET, SOCK_RAW, 255)",
    }
    programs = {
        name: f"perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); alarm {3 * SLOWNESS}; exit !({line})'"
        for name, line in lines.items()
    }
    return refused(tried(cell, programs))
