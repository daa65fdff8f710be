"""`ports.Meters`: the same promises asked of the fake and of the kernel's counters for containers of Docker."""

import configparser
import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine as RunningEngine
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_meters import DockerMeters
from infra.hostagent.ports import Counters, Engine, EngineDown, Meter, Meters
from infra.hostagent.profile import profile_of
from infra.hostagent.quotas.disk import disk_of
from infra.hostagent.usage.process_meter import ProcessMeter
from tests.aws import ROOT
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.meters import IDLE, FakeMeters

MEGABYTE = 1024 * 1024
READ_IT = """
import sys
from pathlib import Path
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_meters import DockerMeters
from infra.hostagent.quotas.disk import disk_of
url, root, engine_id = sys.argv[1:]
engine = DockerEngine(url)
gauge = disk_of(engine, engine.facts(), Path(root)).gauge(engine_id)
sys.exit(DockerMeters(url).of(engine_id).read() is None or not gauge())
"""
BUSY = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
FILL_MEMORY = f"dd if=/dev/zero of=/dev/shm/filled bs={MEGABYTE} count=16"


@dataclass
class Bench:
    engine: Engine
    meters: Meters
    host_id: str

    def running(self) -> str:
        spec = a_spec(image=TINY, network_mode=NetworkMode.NONE)
        engine_id = self.engine.create(profile_of(spec, self.host_id, "unused", cores=1))
        self.engine.start(engine_id)
        return engine_id

    def does(self, engine_id: str, command: str, **used: float) -> None:
        """A command of the container that uses something, which the fake is told."""
        assert self.engine.run(engine_id, ["sh", "-c", command], "0", {}, 60).exit_code == 0
        if isinstance(self.meters, FakeMeters):
            known = self.meters.used.get(engine_id, IDLE)
            self.meters.used[engine_id] = replace(known, **{k: getattr(known, k) + v for k, v in used.items()})


@pytest.fixture(params=["fake", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    host_id = f"h{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        fake = FakeEngine(present={TINY})
        yield Bench(fake, FakeMeters(fake), host_id)
        return
    running: RunningEngine = request.getfixturevalue("engine")
    engine = DockerEngine(running.url)
    yield Bench(engine, DockerMeters(running.url), host_id)
    for container in engine.of_host(host_id):
        engine.remove(container.engine_id)


def counters(meter: Meter) -> Counters:
    found = meter.read()
    assert found is not None
    return found


def test_what_a_container_uses_is_counted_from_its_start(bench: Bench) -> None:
    engine_id = bench.running()
    meter = bench.meters.of(engine_id)
    before = counters(meter)

    bench.does(engine_id, BUSY, cpu_seconds=0.2)
    bench.does(engine_id, FILL_MEMORY, memory=16 * MEGABYTE)

    after = counters(meter)
    assert after.at > before.at
    assert 0.05 < after.cpu_seconds - before.cpu_seconds < 30
    assert 15 * MEGABYTE <= after.memory - before.memory < 32 * MEGABYTE
    assert (after.net_rx, after.net_tx) == (0, 0)


def test_each_container_is_counted_by_itself(bench: Bench) -> None:
    busy, idle = bench.running(), bench.running()
    meters = [bench.meters.of(each) for each in (busy, idle)]
    before = [counters(each).memory for each in meters]

    bench.does(busy, FILL_MEMORY, memory=16 * MEGABYTE)

    grown = [counters(meter).memory - was for meter, was in zip(meters, before, strict=True)]
    assert grown[0] > 15 * MEGABYTE > 8 * MEGABYTE > grown[1]


def test_what_does_not_run_or_is_not_there_is_not_measured_and_what_runs_again_is(bench: Bench) -> None:
    engine_id = bench.running()
    meter = bench.meters.of(engine_id)
    assert meter.read()
    assert bench.meters.of("f" * 64).read() is None

    for _ in range(2):
        bench.engine.stop(engine_id, 1)
        assert meter.read() is None
        bench.engine.start(engine_id)
        assert meter.read()

    bench.engine.remove(engine_id)
    assert meter.read() is None


def test_the_engine_is_asked_once(engine: RunningEngine) -> None:
    docker = DockerEngine(engine.url)
    real = DockerMeters(engine.url)
    asked: list[str] = []

    def process(engine_id: str) -> int:
        asked.append(engine_id)
        return real._process(engine_id)

    bench = Bench(docker, real, f"h{uuid.uuid4().hex[:8]}")
    engine_id = bench.running()
    meter = ProcessMeter(engine_id, process)
    try:
        for _ in range(100):
            assert meter.read()
        assert asked == [engine_id]

        docker.stop(engine_id, 1)
        docker.start(engine_id)
        for _ in range(100):
            assert meter.read()
        assert asked == [engine_id] * 2
    finally:
        docker.remove(engine_id)


def test_what_the_unit_of_the_fleet_leaves_of_root_is_enough_to_measure(engine: RunningEngine) -> None:
    unit = configparser.RawConfigParser(strict=False, allow_no_value=True)
    unit.read(ROOT / "infra/aws/hosts/berth-agent.service")
    kept = ",".join(each.lower().replace("cap_", "+") for each in unit["Service"]["CapabilityBoundingSet"].split())
    docker = DockerEngine(engine.url)
    disk = disk_of(docker, docker.facts(), Path(engine.root))
    bench = Bench(docker, DockerMeters(engine.url), f"h{uuid.uuid4().hex[:8]}")
    engine_id = docker.create(profile_of(a_spec(image=TINY, network_mode=NetworkMode.NONE), bench.host_id, "unused", 1))
    with disk.limited(engine_id, 64):
        docker.start(engine_id)
    bench.does(engine_id, "echo something > /written; sync")
    privileges = ["setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs"]
    try:
        for measured, status in ((engine_id, 0), ("f" * 64, 1)):
            command = [*privileges, sys.executable, "-c", READ_IT, engine.url, engine.root, measured]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stderr
    finally:
        docker.remove(engine_id)


@pytest.mark.parametrize(
    "down", [lambda: FakeMeters(FakeEngine(down=True)), lambda: DockerMeters("unix:///nowhere/docker.sock")]
)
def test_an_engine_that_does_not_answer_is_down(down: Callable[[], Meters]) -> None:
    with pytest.raises(EngineDown):
        down().of("f" * 64).read()


def test_what_a_container_receives_and_sends_is_counted(engine: RunningEngine) -> None:
    host_id = f"h{uuid.uuid4().hex[:8]}"
    docker, network = DockerEngine(engine.url), f"berth-{host_id}"
    docker.ensure_network(network, f"bt{host_id[:10]}")
    engine_id = docker.create(profile_of(a_spec(image=TINY), host_id, network, cores=1))
    try:
        docker.start(engine_id)
        meter = DockerMeters(engine.url).of(engine_id)
        before = counters(meter)
        gateway = "$(ip route | awk '/default/ {print $3}')"
        docker.run(engine_id, ["sh", "-c", f"for i in 1 2 3 4 5; do nc -w 1 {gateway} 9 </dev/null; done"], "0", {}, 60)

        ends = time.monotonic() + 20
        while (after := counters(meter)).net_tx <= before.net_tx or after.net_rx <= before.net_rx:
            assert time.monotonic() < ends, after
            time.sleep(0.1)
    finally:
        docker.remove(engine_id)
        with contextlib.suppress(Exception):
            docker.drop_network(network)
