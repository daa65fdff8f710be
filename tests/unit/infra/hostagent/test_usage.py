"""What containers use, by files as the kernel has them, of both kinds of control groups, beside what they may use."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from chalicelib.contract.agent_api import Used
from infra.hostagent.journal.intents import Intent, Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import Counters, EngineDown, EngineRefused, NotThere
from infra.hostagent.profile import profile_of
from infra.hostagent.quotas.disk import Gauge, Unenforced
from infra.hostagent.runtime import ThreadRuntime
from infra.hostagent.usage.groups import Separate, United, groups_of
from infra.hostagent.usage.measuring import Measuring
from infra.hostagent.usage.process_meter import ProcessMeter
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.meters import IDLE, FakeMeters

ID = "8a8ee1c4f71c881f0e0d4c6cd46ffcf31ed422c2fe35b8c8727b415d45f42303"
OTHER = "36c88c76cd0ba7eedbcb928b71828884bdba85b46dc18a349a55f619622c29f0"
KINDS = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"]

V1_MOUNTS = "\n".join(
    [
        "22 1 254:0 / / rw,relatime - ext4 /dev/root rw",
        "31 22 0:28 / /cg rw,relatime shared:5 - tmpfs tmpfs rw,mode=755",
        *(f"{32 + n} 31 0:{29 + n} / /cg/{kind} rw - cgroup cgroup rw,{kind}" for n, kind in enumerate(KINDS)),
        "40 31 0:37 / /cg/systemd rw,relatime - cgroup cgroup rw,name=systemd",
        "41 31 0:38 / /cg/unified rw,relatime - cgroup2 cgroup2 rw",
        "",
    ]
)
V2_MOUNTS = (
    "22 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n26 22 0:23 / /cg rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
)


def v1(path: str) -> str:
    lines = [f"{len(KINDS) - n}:{kind}:{path}" for n, kind in enumerate(reversed(KINDS))]
    return "\n".join(["9:name=systemd:" + path, *lines, "0::/", ""])


def v2(path: str) -> str:
    return f"0::{path}\n"


@pytest.mark.parametrize(
    ("said", "mounts", "folders"),
    [
        (
            v1(f"/docker/{ID}"),
            V1_MOUNTS,
            Separate(*(Path(f"/cg/{k}/docker/{ID}") for k in ("cpuacct", "memory", "blkio"))),
        ),
        (
            f"3:cpu,cpuacct:/docker/{ID}\n2:memory:/docker/{ID}\n",
            "1 0 0:1 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            "2 0 0:2 / /cg/memory rw - cgroup none rw,memory\n",
            Separate(Path(f"/cg/cpu,cpuacct/docker/{ID}"), Path(f"/cg/memory/docker/{ID}"), None),
        ),
        (v2(f"/system.slice/docker-{ID}.scope"), V2_MOUNTS, United(Path(f"/cg/system.slice/docker-{ID}.scope"))),
        (v2(f"/docker/{ID}/container/deeper"), V2_MOUNTS, United(Path(f"/cg/docker/{ID}"))),
        (
            v2(f"/outer/docker/{ID}"),
            V2_MOUNTS.replace("0:23 / /cg", "0:23 /outer /cg"),
            United(Path(f"/cg/docker/{ID}")),
        ),
        (v2(f"/docker/{ID}"), V2_MOUNTS.replace("0:23 / /cg", "0:23 /outer /cg"), None),
        (v2("/"), V2_MOUNTS, None),
        (v2(f"/docker/{OTHER}"), V2_MOUNTS, None),
        (v1(f"/docker/{OTHER}"), V1_MOUNTS, None),
        (v1("/"), V1_MOUNTS, None),
        (v1(f"/docker/{ID}"), "", None),
        ("", V2_MOUNTS, None),
    ],
    ids=range(12),
)
def test_a_containers_groups_are_found_and_nobody_elses(said: str, mounts: str, folders: object) -> None:
    assert groups_of(ID, said, mounts) == folders


NET = """Inter-|   Receive                        |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  777777    7000    0    0    0     0          0         0 777777   7000    0    0    0     0       0          0
  eth0:    1090      15    0    0    0     0          0         0    420      6    0    0    0     0       0          0
  eth1:4294967296     1    0    0    0     0          0         0      8      1    0    0    0     0       0          0
"""
V1_FILES = {
    "cpuacct/cpuacct.usage": "23490666\n",
    "memory/memory.usage_in_bytes": "1163264\n",
    "memory/memory.stat": "cache 4096\nrss 106496\ninactive_file 1\nactive_file 0\n"
    "hierarchical_memory_limit 134217728\ntotal_cache 409600\ntotal_inactive_file 163264\ntotal_active_file 5\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 12288\n8:0 Async 0\n"
    "8:0 Discard 0\n8:0 Total 12288\n7:1 Read 1000\n7:1 Write 24\n7:1 Total 1024\nTotal 13312\n",
}
V2_FILES = {
    "cpu.stat": "usage_usec 23490\nuser_usec 12000\nsystem_usec 11490\nnr_periods 0\nnr_throttled 0\n",
    "memory.current": "1163264\n",
    "memory.stat": "anon 106496\nfile 409600\nkernel 20480\nfile_mapped 0\ninactive_anon 98304\nactive_anon 8192\n"
    "inactive_file 163264\nactive_file 5\nslab 1000\n",
    "io.stat": "259:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
    "7:1 rbytes=1000 wbytes=24 rios=1 wios=1\n8:0 \n",
}


@dataclass
class Machine:
    """A `/proc` and control groups as files."""

    folder: Path
    older: bool
    pid: int = 41
    asked: int = 0
    trouble: Exception | None = None
    time: float = 100.0
    """By the clock."""

    def __post_init__(self) -> None:
        mounts = (V1_MOUNTS if self.older else V2_MOUNTS).replace("/cg", str(self.folder / "cg"))
        self.write("proc/self/mountinfo", mounts)
        self.start()

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(self, name: str) -> str:
        kind, _, file = name.rpartition("/")
        return f"cg/{kind}/docker/{ID}/{file}".replace("//", "/")

    def start(self) -> None:
        """The container, as a process with the number that is next."""
        self.live(self.pid, ID)
        for name, text in (V1_FILES if self.older else V2_FILES).items():
            self.write(self.group(name), text)

    def live(self, pid: int, engine_id: str) -> None:
        self.write(f"proc/{pid}/cgroup", (v1 if self.older else v2)(f"/docker/{engine_id}"))
        self.write(f"proc/{pid}/net/dev", NET)

    def end(self) -> None:
        shutil.rmtree(self.folder / f"proc/{self.pid}")
        shutil.rmtree(self.folder / "cg")
        self.pid = 0

    def process(self, engine_id: str) -> int:
        assert engine_id == ID
        self.asked += 1
        if self.trouble:
            raise self.trouble
        return self.pid

    def meter(self) -> ProcessMeter:
        return ProcessMeter(ID, self.process, self.folder / "proc", lambda: self.time)


@pytest.fixture(params=[True, False], ids=["v1", "v2"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    return Machine(tmp_path, request.param)


def test_all_that_is_counted_is_read(machine: Machine) -> None:
    cpu = 0.023490666 if machine.older else 0.02349

    assert machine.meter().read() == Counters(100.0, cpu, 1_000_000, 5096, 8216, 4_294_968_386, 428)


def test_the_engine_is_asked_once_and_again_when_the_process_has_ended(machine: Machine) -> None:
    meter = machine.meter()
    assert [meter.read() is None for _ in range(3)] == [False] * 3
    assert machine.asked == 1

    machine.end()
    assert meter.read() is None
    machine.pid = 77
    machine.start()

    assert [meter.read() is None for _ in range(3)] == [False] * 3
    assert machine.asked == 3


def test_a_process_of_another_with_the_same_number_is_not_taken_for_the_containers(machine: Machine) -> None:
    meter = machine.meter()
    assert meter.read()

    machine.live(machine.pid, OTHER)

    assert meter.read() is None


def test_what_the_host_does_not_count_of_disks_is_nothing(machine: Machine) -> None:
    for name in ("blkio/blkio.throttle.io_service_bytes_recursive", "io.stat"):
        (machine.folder / machine.group(name)).unlink(missing_ok=True)

    counters = machine.meter().read()

    assert counters is not None
    assert (counters.disk_read, counters.disk_write, counters.memory) == (0, 0, 1_000_000)


def test_files_that_grew_between_two_looks_make_no_negative_memory(machine: Machine) -> None:
    name = "memory/memory.usage_in_bytes" if machine.older else "memory.current"
    machine.write(machine.group(name), "163000\n")

    counters = machine.meter().read()

    assert counters is not None
    assert counters.memory == 0


@pytest.mark.parametrize("trouble", [NotThere("gone"), EngineRefused("no")])
def test_what_the_engine_knows_no_process_of_is_not_measured(machine: Machine, trouble: Exception) -> None:
    machine.trouble = trouble

    assert machine.meter().read() is None


def test_an_engine_that_is_down_is_told_of_and_not_missed_once_it_has_answered(machine: Machine) -> None:
    machine.trouble = EngineDown("inspect")
    meter = machine.meter()
    with pytest.raises(EngineDown):
        meter.read()

    machine.trouble = None
    assert meter.read()
    machine.trouble = EngineDown("inspect")
    assert meter.read()


class CountingDisk(MemoryDisk):
    """Counts who asks for a gauge, and may refuse."""

    asked = 0
    trouble: Exception | None = None

    def gauge(self, engine_id: str) -> Gauge:
        self.asked += 1
        if self.trouble:
            raise self.trouble
        return super().gauge(engine_id)


@dataclass
class Host:
    """One with a container that is ready."""

    folder: Path
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(present={"debian:bookworm"}))
    disk: CountingDisk = field(default_factory=CountingDisk)

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal", ThreadRuntime())
        self.meters = FakeMeters(self.engine)
        self.measuring = Measuring(self.journal, self.meters, self.disk)
        self.spec = a_spec()
        self.engine_id = self.engine.create(profile_of(self.spec, "host-1", "network", 2))
        self.engine.start(self.engine_id)
        self.intent = replace(accepted(self.spec, 0.0), step=Step.READY, engine_id=self.engine_id)
        self.journal.accept(self.intent)

    def uses(self, **used: float) -> None:
        self.meters.used[self.engine_id] = replace(self.meters.used.get(self.engine_id, IDLE), **used)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_is_used_is_told_beside_what_was_granted(host: Host) -> None:
    host.uses(memory=5, disk_read=1, disk_write=2, net_rx=3, net_tx=4)
    host.disk.held[host.engine_id] = 4096
    granted = host.spec.resources

    usage = host.measuring.of(host.spec.container_id, 1).read()

    mega = 1024 * 1024
    assert usage == Used(
        cpu_percent=0.0, memory=5, memory_limit=granted.memory_mb * mega, disk_read=1, disk_write=2,
        disk_usage=4096, disk_limit=granted.disk_mb * mega, net_rx=3, net_tx=4,
    )  # fmt: skip


def test_processors_are_counted_between_two_readings_and_a_hundred_is_one_core(host: Host) -> None:
    measured = host.measuring.of(host.spec.container_id, 1)
    told = []
    for seconds in (7.0, 8.5, 8.5, 8.75, 0.1):  # the last after a start that nobody saw
        host.uses(cpu_seconds=seconds)
        usage = measured.read()
        assert usage is not None
        told.append(usage.cpu_percent)

    assert told == [0.0, 150.0, 0.0, 25.0, 0.0]


def test_a_moment_is_two_readings(host: Host) -> None:
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        host.uses(cpu_seconds=0.5)

    usage = host.measuring.now(host.spec.container_id, 1, wait)

    assert usage is not None
    assert (usage.cpu_percent, len(waited), host.meters.readings) == (50.0, 1, 2)
    assert host.measuring.now("nobody", 1, wait) is None
    assert len(waited) == 1


def test_amounts_that_are_changed_meanwhile_count(host: Host) -> None:
    measured = host.measuring.of(host.spec.container_id, 1)
    assert measured.read()
    larger = host.spec.resources.model_copy(update={"memory_mb": 999})
    host.journal.accept(replace(host.intent, spec=host.spec.model_copy(update={"resources": larger})))

    usage = measured.read()

    assert usage is not None
    assert usage.memory_limit == 999 * 1024 * 1024


CHANGES: dict[str, Callable[[Intent], Intent]] = {
    "stopped": lambda intent: replace(intent, step=Step.STOPPED),
    "another generation": lambda intent: replace(intent, generation=2),
    "not made yet": lambda intent: replace(intent, engine_id=None),
    "without a spec": lambda intent: replace(intent, spec=None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_ready_is_not_measured(host: Host, change: Callable[[Intent], Intent]) -> None:
    measured = host.measuring.of(host.spec.container_id, 1)
    assert measured.read()
    readings = host.meters.readings

    host.journal.accept(change(host.intent))

    assert measured.read() is None
    assert host.measuring.of("nobody", 1).read() is None
    assert host.meters.readings == readings


def test_the_disk_is_asked_once_for_its_gauge(host: Host) -> None:
    measured = host.measuring.of(host.spec.container_id, 1)
    for size in (1, 2, 3):
        host.disk.held[host.engine_id] = size
        usage = measured.read()
        assert usage is not None
        assert usage.disk_usage == size

    assert host.disk.asked == 1


@pytest.mark.parametrize("trouble", [NotThere("gone"), EngineRefused("unknown")])
def test_a_disk_that_cannot_be_gauged_is_asked_once_and_the_rest_is_told(host: Host, trouble: Exception) -> None:
    host.disk.trouble = trouble
    measured = host.measuring.of(host.spec.container_id, 1)

    for _ in range(3):
        usage = measured.read()
        assert usage is not None
        assert usage.disk_usage is None

    assert host.disk.asked == 1


def test_where_disks_are_not_limited_nobody_says_how_full_they_are(host: Host) -> None:
    usage = Measuring(host.journal, host.meters, Unenforced()).of(host.spec.container_id, 1).read()

    assert usage is not None
    assert usage.disk_usage is None
