"""The walls round a container, seen from the engine and from inside (reliability §4.3-4.4, CIS numbers beside)."""

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.contract.resources import NetworkMode, Resources
from infra.ground.images import TINY
from infra.hostagent.network.firewall import RESOLVER
from infra.hostagent.profile import CAPABILITIES, PAYLOAD, PIDS, READ_ONLY
from infra.hostagent.seccomp import seccomp_option
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, holder_of, holders, inspected

MEMORY = 128 * 1024 * 1024
OWN_FILES = ("hosts", "hostname", "resolv.conf")


@pytest.fixture(scope="module")
def first(agent: RunningAgent) -> Iterator[str]:
    """The id of a running container."""
    resources = Resources(memory_mb=128, cpu_shares=500, disk_mb=1024)
    spec = a_spec(image=TINY, name="walled", resources=resources, environment={"A": "b"}, labels={"team": "a"})
    agent.wait(lambda: holders(agent))  # the engine makes the namespace of one that comes before any is prepared
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    yield spec.container_id
    agent.delete(spec)


@pytest.fixture(scope="module")
def second(agent: RunningAgent) -> Iterator[str]:
    spec = a_spec(image=TINY, name="neighbour")
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    yield spec.container_id
    agent.delete(spec)


def test_the_engine_has_exactly_the_profile(agent: RunningAgent, first: str) -> None:
    found = inspected(agent, first)
    host: dict[str, Any] = found["HostConfig"]

    assert host["Memory"] == host["MemorySwap"] == MEMORY  # 5.11
    assert host["NanoCpus"] == 500_000_000  # 5.12
    assert host["PidsLimit"] == PIDS  # 5.29
    assert host["CapDrop"] == ["ALL"]  # 5.4
    assert sorted(host["CapAdd"]) == sorted(CAPABILITIES)
    assert host["SecurityOpt"] == ["no-new-privileges:true", seccomp_option()]  # 5.26
    assert host["Privileged"] is False  # 5.5
    assert host["Init"] is True
    assert not host["Binds"]  # 5.6, 5.32
    assert not host["VolumesFrom"]
    files = {f"{agent.data}/containers/berth-{first}-1/{name}": f"/etc/{name}" for name in OWN_FILES}
    assert {mount["Source"]: mount["Target"] for mount in host["Mounts"]} == files
    assert all(mount["Type"] == "bind" and mount["ReadOnly"] for mount in host["Mounts"])
    assert not host["Devices"]  # 5.18
    assert not host["PortBindings"]  # 5.14
    assert host["PublishAllPorts"] is False
    assert host["RestartPolicy"]["Name"] == "no"  # 5.15
    assert (host["IpcMode"], host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("private", "", "", "")
    assert host["NetworkMode"] == f"container:{holder_of(agent, first)['Id']}"  # 5.10, 5.30
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]}
    assert limits == {"nofile": (1024, 4096), "core": (0, 0)}  # 2.8
    assert {mount["Source"]: (mount["Destination"], mount["RW"]) for mount in found["Mounts"]} == {
        source: (target, False) for source, target in files.items()
    }
    assert found["Config"]["Healthcheck"] == {"Test": ["NONE"]}  # 4.6 is for services, not for strangers' images
    assert (found["Config"]["WorkingDir"], found["Config"]["User"]) == ("/", "0")
    assert found["Config"]["StopSignal"] == "SIGTERM"
    assert (found["Config"]["Entrypoint"], found["Config"]["Cmd"]) == (PAYLOAD[:1], PAYLOAD[1:])
    assert not found["Config"].get("ExposedPorts")
    assert "/proc/kcore" in host["MaskedPaths"]
    assert tuple(host["ReadonlyPaths"]) == READ_ONLY


def test_names_labels_and_environment_are_the_users_and_ours(agent: RunningAgent, first: str) -> None:
    found = inspected(agent, first)
    labels = found["Config"]["Labels"]

    assert found["Name"] == f"/berth-{first}-1"
    assert "A=b" in found["Config"]["Env"]
    assert labels["team"] == "a"
    assert labels["berth.container"] == first
    assert labels["berth.generation"] == "1"
    assert labels["berth.user"] == a_spec().user_id
    assert labels["berth.host"] == agent.host_id


def status_lines(agent: RunningAgent, container_id: str) -> dict[str, str]:
    text = agent.inside(container_id, "cat /proc/self/status")
    return dict(line.split(":\t") for line in text.splitlines() if ":\t" in line)


def test_inside_there_are_the_listed_capabilities_and_no_others(agent: RunningAgent, first: str) -> None:
    bits = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10}
    expected = sum(1 << bits[name] for name in CAPABILITIES)

    status = status_lines(agent, first)

    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == expected
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_inside_the_limits_are_read_from_its_own_cgroup(agent: RunningAgent, first: str) -> None:
    memory = agent.inside(
        first, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    )
    pids = agent.inside(first, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max")

    assert int(memory) == MEMORY
    assert int(pids) == PIDS


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /tmp",
        "mount -t proc none /tmp",
        "umount /proc/kcore",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "echo /x > /sys/fs/cgroup/memory/release_agent",
        "echo 99999999999 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
        "[ -e /sys/fs/cgroup/memory.max ] && echo max > /sys/fs/cgroup/memory.max",
        "mkdir /sys/fs/cgroup/memory/mine",
        "mknod /tmp/sda b 8 0",
        "unshare -m true",
        "chroot / true",
        "adjtimex -f 1",
        "hostname other",
        "ping -c1 -W1 127.0.0.1",
        "ls /var/run/docker.sock /run/docker.sock",
        "dd if=/dev/mem of=/dev/null count=1",
        "echo 192.0.2.1 elsewhere >> /etc/hosts",
        "echo other > /etc/hostname",
        "echo nameserver 192.0.2.1 > /etc/resolv.conf",
        "mv /etc/hosts /etc/others",
        "umount /etc/hosts",
    ],
)
def test_what_only_a_host_may_do_is_refused_inside(agent: RunningAgent, first: str, command: str) -> None:
    output = agent.inside(first, f"( {command} ) >/dev/null 2>&1 && echo DONE || echo refused")

    assert output.strip().endswith("refused"), output


def test_nothing_of_the_host_is_mounted_but_its_own_files(agent: RunningAgent, first: str) -> None:
    own = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/sbin/docker-init", "/dev/init"}
    mounts = [line.split() for line in agent.inside(first, "cat /proc/self/mountinfo").splitlines()]
    real = [each[4] for each in mounts if each[each.index("-") + 1] not in _KERNEL_FILESYSTEMS]

    assert set(real) - own - _DEVICES == {"/"}, real


def test_a_container_finds_itself_and_its_resolver(agent: RunningAgent, first: str) -> None:
    assert agent.inside(first, "hostname; cat /etc/hostname").split() == ["walled", "walled"]
    assert "127.0.1.1\twalled" in agent.inside(first, "cat /etc/hosts")
    assert f"Server:\t\t{RESOLVER}" in agent.inside(first, "nslookup no-such-name 2>&1")
    assert holder_of(agent, first)["HostConfig"]["Dns"] == [RESOLVER]


def test_the_holder_of_its_network_namespace_can_do_nothing_and_is_its_own(
    agent: RunningAgent, first: str, second: str
) -> None:
    holder = holder_of(agent, first)
    host = holder["HostConfig"]

    assert list(holder["NetworkSettings"]["Networks"]) == [f"berth-{agent.host_id}"]
    assert (host["NetworkMode"], host["CapDrop"], host["CapAdd"]) == (f"berth-{agent.host_id}", ["ALL"], None)
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Binds"]) == (True, False, None)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] == host["MemorySwap"] == 32 * 1024 * 1024
    assert host["PidsLimit"] == 32
    assert holder["Config"]["User"] == "65534"
    assert holder["Id"] != holder_of(agent, second)["Id"]


def test_a_container_keeps_name_and_network_when_it_is_stopped_and_started(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, name="keeps")
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    before = holder_of(agent, spec.container_id)["Id"]

    agent.power(spec, "stop")
    agent.until(spec.container_id, "stopped")
    agent.power(spec, "start")
    agent.until(spec.container_id, "started")

    assert agent.inside(spec.container_id, "hostname").strip() == "keeps"
    assert holder_of(agent, spec.container_id)["Id"] == before
    assert "eth0" in agent.inside(spec.container_id, "ls /sys/class/net")
    agent.remove(spec)
    agent.wait(lambda: before not in [each["Id"] for each in holders(agent)])


def test_the_files_go_with_their_container(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, name="brief")
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    folder = agent.data / "containers" / f"berth-{spec.container_id}-1"
    assert folder.is_dir()

    agent.remove(spec)

    assert not folder.exists()


_DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")} | {
    "/proc/keys",
    "/proc/timer_list",
    "/proc/interrupts",
}
"""A root that is nobody outside can make no devices: it is lent the host's; newer engines hide more of /proc."""
_KERNEL_FILESYSTEMS = {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}


def test_a_hog_of_memory_is_killed_and_its_container_goes_on(agent: RunningAgent, first: str) -> None:
    output = agent.inside(first, "{ tail /dev/zero; echo $?; } 2>/dev/null")

    assert output.split()[-1] == "137"
    assert agent.inside(first, "echo alive").strip() == "alive"


def test_a_fork_bomb_stops_at_the_limit(agent: RunningAgent, second: str) -> None:
    bomb = "(n=0; while [ $n -lt 400 ]; do sleep 2 & n=$((n+1)); done) 2>/dev/null"

    output = agent.inside(second, f"{bomb}; set -- /proc/[0-9]*; echo $#")  # counted without a process more

    assert PIDS / 2 < int(output.split()[-1]) <= PIDS
    ends = time.monotonic() + 20
    while agent.inside(second, "echo back") != "back\n":
        assert time.monotonic() < ends, "the bomb's processes never ended"


def address_of(agent: RunningAgent, container_id: str) -> tuple[str, str]:
    network = holder_of(agent, container_id)["NetworkSettings"]["Networks"][f"berth-{agent.host_id}"]
    return network["IPAddress"], network["Gateway"]


def reaches(agent: RunningAgent, container_id: str, address: str, port: int) -> bool:
    return "DONE" in agent.inside(container_id, f"nc -w 1 {address} {port} </dev/null && echo DONE")


def test_containers_do_not_reach_each_other(agent: RunningAgent, first: str, second: str) -> None:
    [container] = agent.containers(second)
    container.exec_run(["sh", "-c", "nc -l -p 8000"], detach=True)

    assert reaches(agent, second, "127.0.0.1", 8000)
    container.exec_run(["sh", "-c", "nc -l -p 8000"], detach=True)
    assert not reaches(agent, first, address_of(agent, second)[0], 8000)


def test_containers_reach_neither_the_host_nor_its_metadata(agent: RunningAgent, first: str) -> None:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        gateway = address_of(agent, first)[1]
        for each in (port, agent.port):
            assert not reaches(agent, first, gateway, each), each
        for address in ("172.28.0.1", "169.254.169.254", "10.0.0.1", "192.168.0.1", "100.64.0.1"):
            assert not reaches(agent, first, address, 80), address
    finally:
        server.shutdown()
        server.server_close()


def test_a_container_without_a_network_has_only_itself(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, network_mode=NetworkMode.NONE)
    agent.create(spec)
    agent.until(spec.container_id, "ready")

    links = agent.inside(spec.container_id, "ls /sys/class/net").split()

    agent.delete(spec)
    assert links == ["lo"]


def test_the_firewall_is_set_and_taken_away(agent: RunningAgent) -> None:
    assert "firewall set" in (agent.data / "agent.log").read_text()
