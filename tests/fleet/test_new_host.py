"""A machine that booted with the template's user data is a host: known, walled in, and its containers are held.

What the suites of `tests/docker` show of an agent on the test machine's engine is shown here of the agent that the
fleet's unit runs: with its hardening, on xfs, in control groups of the second version, with AppArmor.
"""

import contextlib
import io
import json
import time
from collections.abc import Iterator

import pytest

from chalicelib.contract.agent_api import ContainerSpec, ExecUser, FileDeed, Holdings, Used
from chalicelib.contract.causes import Code
from chalicelib.contract.resources import NetworkMode, Resources
from chalicelib.contract.signatures import new_private_key, public_key_of
from infra.ground.engine import Engine
from infra.ground.images import BaseImages
from tests.builders import a_spec
from tests.docker.agents import inspected
from tests.docker.terminals import terminal
from tests.engines import CACHE, say
from tests.fakes.world import CONTROL_KEY
from tests.fleet.debian import Debian
from tests.fleet.hosts import AGENT_PORT, BELOW_THE_FLOOR, PATIENCE_SECONDS, Host, HostAgent, enrolled
from tests.fleet.instances import Plan, booted
from tests.fleet.machine import ADDRESS, OUTSIDE
from tests.fleet.stage import Stage

UNITS = ("berth-agent.service", "berth-drain.service", "berth-control-key.timer")
GRANTED_MB = 24
MEGABYTE = 1024 * 1024
SMALL = Resources(memory_mb=64, cpu_shares=1000, disk_mb=GRANTED_MB)
FULL = "No space left on device"
METADATA = "169.254.169.254"


@pytest.fixture(scope="module")
def host(debian: Debian, stage: Stage) -> Iterator[Host]:
    with booted(debian, stage.aws, stage.host(), Plan(AGENT_PORT, [BELOW_THE_FLOOR]), say) as done:
        done.machine.forward_engine()
        version = done.machine.ask("docker version --format '{{.Server.Version}}'")
        engine = Engine(done.machine.engine_url, owned=False, netns=None, version=version)
        with contextlib.closing(engine.client()) as client:
            BaseImages(client, CACHE, say).ensure_tiny()
        agent = HostAgent(
            engine, stage.aws, done.folder, patience=PATIENCE_SECONDS, host_id=done.instance, machine=done.machine,
            enrolled=enrolled(stage.aws),
        )  # fmt: skip
        yield Host(done, agent, stage)


@pytest.fixture(scope="module")
def spec(host: Host) -> ContainerSpec:
    """A container that is ready."""
    return host.agent.ready(resources=SMALL)


@pytest.fixture(scope="module")
def keeping(host: Host) -> str:
    """An image that asks for a volume."""
    lines = "FROM berth-test/tiny:1\nVOLUME /kept\n"
    with contextlib.closing(host.agent.engine.client()) as client:
        client.images.build(fileobj=io.BytesIO(lines.encode()), tag="berth-test/keeping:1", rm=True)
    return "berth-test/keeping:1"


def used(host: Host, spec: ContainerSpec) -> Used:
    return Used.model_validate_json(host.agent.usage(spec).content)


def test_the_group_is_told_that_the_host_is_ready(host: Host) -> None:
    [call] = host.booted.calls

    assert call["Action"] == "CompleteLifecycleAction"
    assert call["LifecycleActionResult"] == "CONTINUE"
    assert call["LifecycleHookName"] == "launching"
    assert call["InstanceId"] == host.agent.host_id
    assert call["AutoScalingGroupName"] == "berth-dev-hosts"


def test_it_enrolled_once_and_says_what_it_has_to_offer(host: Host) -> None:
    report = host.agent.wait(lambda: host.agent.heartbeats)[-1].report

    assert len(host.agent.enrolled) == 1
    assert report.disk_limited
    assert report.engine_up
    assert not report.draining
    assert set(report.runtimes) >= {"crun", "runc"}
    assert report.development == ("--dev" in host.machine.ask("cat /etc/berth/host.env"))
    assert report.endpoint == f"http://{ADDRESS}:{AGENT_PORT}"


def test_every_unit_runs_and_none_failed(host: Host) -> None:
    assert host.machine.ask(f"systemctl is-active {' '.join(UNITS)}").split() == ["active"] * len(UNITS)
    assert host.machine.ask("systemctl --failed --plain --no-legend") == ""
    assert host.machine.run(f"systemctl is-enabled docker {' '.join(UNITS)}").output.split() == ["enabled"] * 4


def test_the_data_is_on_a_disk_of_its_own_that_counts(host: Host) -> None:
    source, kind, options = host.machine.ask("findmnt -no SOURCE,FSTYPE,OPTIONS /var/lib/docker").split()

    assert (source, kind) == ("/dev/vdb", "xfs")
    assert "prjquota" in options.split(",")


def test_the_engine_has_the_settings_of_a_host(host: Host) -> None:
    info = json.loads(host.machine.ask("docker info --format '{{json .}}'"))

    assert info["Driver"] == "overlay2"
    assert info["LiveRestoreEnabled"]
    assert info["CgroupVersion"] == "2"
    assert {"name=userns", "name=apparmor"} <= set(info["SecurityOptions"])
    assert host.machine.ask("sysctl -n kernel.unprivileged_bpf_disabled kernel.pid_max").split() == ["1", "4194304"]


def test_nobody_is_let_in_but_to_the_agent(host: Host) -> None:
    """Its resolvers listen everywhere, and its packet rules let only containers ask them."""
    lines = host.machine.ask("ss -Htln").splitlines()
    open_to = {line.split()[3] for line in lines} - {"0.0.0.0:22", "[::]:22", f"{ADDRESS}:{AGENT_PORT}"}
    ports = {each.rpartition(":")[2] for each in open_to if not each.startswith("127.")}
    rules = host.machine.ask("nft list ruleset").splitlines()
    [closed] = [line for line in rules if line.strip().startswith("iifname != {") and line.endswith("drop")]

    assert ports == set(closed.rpartition("th dport {")[2].partition("}")[0].replace(",", " ").split())


def test_the_agent_is_walled_in(host: Host) -> None:
    said = host.machine.ask("systemd-analyze security --no-pager berth-agent.service")
    exposure = float(said.rsplit("Overall exposure level for berth-agent.service:", 1)[1].split()[0])
    pid = host.machine.ask("systemctl show -P MainPID berth-agent.service")

    assert exposure < 4.0, said
    assert "Seccomp:\t2" in host.machine.ask(f"cat /proc/{pid}/status")
    assert "NoNewPrivs:\t1" in host.machine.ask(f"cat /proc/{pid}/status")


def test_a_container_has_the_walls_of_its_profile_and_those_of_the_machine(host: Host, spec: ContainerSpec) -> None:
    seen = inspected(host.agent, spec.container_id)

    assert seen["HostConfig"]["Runtime"] == "crun"
    assert seen["AppArmorProfile"] == "docker-default"
    assert host.agent.inside(spec.container_id, "cat /proc/1/attr/current") == "docker-default (enforce)\n"
    assert host.agent.inside(spec.container_id, "cat /proc/self/uid_map").split()[1] != "0"
    assert "CapEff:\t0000000000000000" in host.agent.inside(spec.container_id, "cat /proc/self/status", user="1000")


def test_control_groups_are_not_its_own(host: Host, spec: ContainerSpec) -> None:
    """Of version 2, a container's is handed to its root where it can be written to at all."""
    for attempt in ("mkdir /sys/fs/cgroup/mine", "echo 1 > /sys/fs/cgroup/cgroup.procs"):
        assert "Read-only file system" in host.agent.inside(spec.container_id, f"sh -c '{attempt}' 2>&1; true")


def test_it_writes_as_much_as_it_was_granted_and_no_more(host: Host, spec: ContainerSpec) -> None:
    said = host.agent.inside(spec.container_id, "dd if=/dev/zero of=/filled bs=1M count=100 2>&1; df -m / | tail -1")

    assert FULL in said
    assert int(host.agent.inside(spec.container_id, "du -sm /filled | cut -f1")) in (GRANTED_MB - 1, GRANTED_MB)
    assert str(GRANTED_MB) in said.splitlines()[-1].split()
    assert FULL in host.agent.inside(spec.container_id, "echo more > /tmp/more 2>&1")
    host.agent.inside(spec.container_id, "rm /filled; echo again > /tmp/again")
    assert host.agent.inside(spec.container_id, "cat /tmp/again") == "again\n"


def test_a_volume_of_the_image_is_counted(host: Host, keeping: str) -> None:
    spec = host.agent.ready(keeping, resources=SMALL)

    said = host.agent.inside(spec.container_id, "dd if=/dev/zero of=/kept/filled bs=1M count=100 2>&1")
    rest = host.agent.inside(spec.container_id, "dd if=/dev/zero of=/filled bs=1M count=100 2>&1")

    assert (FULL in said, FULL in rest) == (True, True)
    sizes = host.agent.inside(spec.container_id, "du -m /filled /kept/filled | cut -f1").split()
    assert GRANTED_MB - 2 <= sum(map(int, sizes)) <= GRANTED_MB
    assert GRANTED_MB - 2 <= (used(host, spec).disk_usage or 0) / MEGABYTE <= GRANTED_MB
    host.agent.remove(spec)


def test_a_full_container_starts_again_and_is_still_full(host: Host) -> None:
    spec = host.agent.ready(resources=SMALL)
    host.agent.inside(spec.container_id, "dd if=/dev/zero of=/filled bs=1M count=100 2>&1")

    for verb, told in (("stop", "stopped"), ("start", "started")):
        host.agent.power(spec, verb)
        host.agent.until(spec.container_id, told)

    assert FULL in host.agent.inside(spec.container_id, "dd if=/dev/zero of=/more bs=1M count=4 2>&1")
    host.agent.remove(spec)


def test_what_it_uses_is_told(host: Host, spec: ContainerSpec) -> None:
    before = used(host, spec)
    host.agent.inside(spec.container_id, "dd if=/dev/zero of=/written bs=1M count=8 conv=fsync 2>&1")
    after = used(host, spec)

    assert after.memory_limit == 64 * MEGABYTE
    assert after.disk_limit == GRANTED_MB * MEGABYTE
    assert 0 < after.memory <= after.memory_limit
    assert after.disk_write - before.disk_write >= 8 * MEGABYTE
    assert (after.disk_usage or 0) - (before.disk_usage or 0) >= 8 * MEGABYTE
    host.agent.inside(spec.container_id, "rm /written")


def test_a_container_out_of_memory_is_told_so(host: Host) -> None:
    spec = host.agent.ready(resources=Resources(memory_mb=32, cpu_shares=1000, disk_mb=64))
    hog = "for each in 1 $(pidof sleep); do echo 1000 > /proc/$each/oom_score_adj; done; "

    host.agent.inside(spec.container_id, f"{hog} dd if=/dev/zero of=/dev/shm/hog bs=1M count=60")

    cause = host.agent.until(spec.container_id, "stopped")[-1].cause
    assert (cause.code, cause.exit_code) == (Code.OOM, 137)
    host.agent.delete(spec)


def test_commands_files_and_a_terminal_work_behind_the_units_walls(host: Host, spec: ContainerSpec) -> None:
    ran = host.agent.run(spec, "sh", "-c", "echo out; exit 3").json()
    host.agent.file(spec, FileDeed.WRITE, "/root/file", b"content", user=ExecUser.ROOT)

    assert (ran["stdout"], ran["exit_code"]) == ("out\n", 3)
    assert host.agent.file(spec, FileDeed.READ, "/root/file", user=ExecUser.ROOT).content == b"content"
    with terminal(host.agent, spec) as typed:
        assert typed.run("echo $((6 * 7))") == "42\n"


def test_a_command_that_takes_too_long_is_ended_with_its_children(host: Host, spec: ContainerSpec) -> None:
    """The unit leaves the agent what it needs for that: to see who belongs to a command, and to end them."""
    ran = host.agent.run(spec, "sh", "-c", "sleep 612 & sleep 613", timeout_seconds=2).json()

    assert ran["timed_out"]
    assert "61" not in host.agent.inside(spec.container_id, "ps | grep 'sleep 61[23]' | grep -v grep")


@pytest.mark.parametrize("mode", [NetworkMode.DEFAULT, NetworkMode.RESTRICTED, NetworkMode.NONE])
def test_neither_the_metadata_service_nor_the_host_nor_private_addresses_are_reached(
    host: Host, mode: NetworkMode
) -> None:
    """While the host itself reaches them."""
    domains = ["deb.debian.org"] if mode is NetworkMode.RESTRICTED else []
    spec = host.agent.ready(resources=SMALL, network_mode=mode, allowed_domains=domains)
    reach = "nc -w 3 {} {} < /dev/null && echo reached; true"

    for address, port in ((METADATA, 80), (ADDRESS, AGENT_PORT), (ADDRESS, 22), (OUTSIDE, 22)):
        assert "reached" not in host.agent.inside(spec.container_id, reach.format(address, port)), address
    assert host.machine.run(f"curl -s --max-time 5 -o /dev/null http://{METADATA}/latest/").exit_code == 0
    host.agent.remove(spec)


def test_an_agent_that_is_killed_comes_back_and_its_containers_live(host: Host, spec: ContainerSpec) -> None:
    before = inspected(host.agent, spec.container_id)["State"]["Pid"]
    pid = host.machine.ask("systemctl show -P MainPID berth-agent.service")

    host.machine.ask(f"kill -9 {pid}")

    host.await_agent()
    assert host.machine.ask("systemctl show -P MainPID berth-agent.service") != pid
    assert inspected(host.agent, spec.container_id)["State"]["Pid"] == before
    assert host.agent.run(spec, "echo", "here").json()["stdout"] == "here\n"


def test_an_engine_that_is_stopped_closes_the_host_until_it_is_back(host: Host, spec: ContainerSpec) -> None:
    """The agent says so itself, and needs nobody to start it then."""
    before = inspected(host.agent, spec.container_id)["State"]["Pid"]

    host.machine.ask("systemctl stop docker.service")
    host.agent.wait(lambda: not host.agent.heartbeats[-1].report.engine_up)
    host.machine.ask("systemctl start docker.service")

    host.machine.forward_engine()
    host.agent.wait(lambda: host.agent.heartbeats[-1].report.engine_up)
    assert host.agent.run(spec, "echo", "here").json()["stdout"] == "here\n"
    assert inspected(host.agent, spec.container_id)["State"]["Pid"] == before


def test_an_engine_that_starts_again_takes_no_container_along(host: Host, spec: ContainerSpec) -> None:
    before = inspected(host.agent, spec.container_id)["State"]["Pid"]

    host.machine.ask("systemctl restart docker.service")

    host.machine.forward_engine()
    host.agent.wait(lambda: host.agent.run(spec, "echo", "here").status_code == 200)
    assert inspected(host.agent, spec.container_id)["State"]["Pid"] == before


def test_another_control_key_reaches_the_agent_by_its_timers_unit(host: Host, spec: ContainerSpec) -> None:
    following = new_private_key()
    assert host.agent.run(spec, "echo", "x").status_code == 200

    host.stage.publish_key(f"{public_key_of(CONTROL_KEY)}{public_key_of(following)}")
    host.machine.ask("systemctl start berth-control-key.service")

    path, body = f"/v1/containers/{spec.container_id}/stats", b"{}"
    assert host.agent.call("POST", path, body, private_pem=new_private_key()).status_code == 401
    assert host.agent.call("POST", path, body, private_pem=following).status_code != 401
    assert host.agent.run(spec, "echo", "x").status_code == 200


def test_a_machine_that_loses_its_power_is_a_host_again(host: Host) -> None:
    spec = host.agent.ready(resources=SMALL)
    host.agent.inside(spec.container_id, "echo kept > /kept; sync")

    host.machine.reboot()

    host.machine.forward_engine()
    host.await_agent()
    host.agent.until(spec.container_id, "stopped")
    assert host.machine.ask("findmnt -no FSTYPE /var/lib/docker") == "xfs"
    host.agent.power(spec, "start")
    host.agent.until(spec.container_id, "started")
    assert host.agent.inside(spec.container_id, "cat /kept") == "kept\n"
    assert FULL in host.agent.inside(spec.container_id, "dd if=/dev/zero of=/more bs=1M count=100 2>&1")
    host.agent.remove(spec)


def test_a_host_that_the_group_wants_gone_takes_no_more_and_lets_go_when_it_is_empty(host: Host) -> None:
    spec = host.agent.ready(resources=SMALL)

    host.booted.want_gone()

    host.agent.wait(lambda: host.agent.heartbeats[-1].report.draining)
    host.await_agent()
    refused = host.agent.create(a_spec(image="berth-test/tiny:1", resources=SMALL))
    assert (refused.status_code, refused.json()["code"]) == (503, "draining")
    host.agent.wait(lambda: any(call["Action"] == "RecordLifecycleActionHeartbeat" for call in host.booted.calls))
    assert host.agent.run(spec, "echo", "here").json()["stdout"] == "here\n"
    for each in Holdings.model_validate_json(host.agent.call("GET", "/v1/containers").content).containers:
        host.agent.delete(spec.model_copy(update={"container_id": each.container_id}))
    ends = time.monotonic() + 180
    while host.booted.calls[-1]["Action"] != "CompleteLifecycleAction" and time.monotonic() < ends:
        time.sleep(1)
    assert (host.booted.calls[-1]["LifecycleHookName"], host.booted.calls[-1]["LifecycleActionResult"]) == (
        "terminating",
        "CONTINUE",
    )
