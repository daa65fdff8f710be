"""What a container writes is bounded on a real engine over btrfs: from its first start, and whatever happens to it."""

import contextlib
import io
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode, Resources
from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.ports import EngineRefused
from infra.hostagent.profile import profile_of
from infra.hostagent.quotas import btrfs
from infra.hostagent.quotas.disk import MEGABYTE, StorageOption, Subvolumes, Unenforced, disk_of
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on

GRANTED_MB = 24
SIZE = Resources(memory_mb=64, cpu_shares=1000, disk_mb=GRANTED_MB)
FILL = "dd if=/dev/zero of={} bs=1M count=100 2>&1; sync; du -sm {} | cut -f1"
SLACK_MB = 1
"""What the file system's own records take of it."""


@pytest.fixture(scope="module")
def limiting(engine: Engine, queues: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path_factory.mktemp("limiting")) as running:
        yield running


@pytest.fixture(scope="module")
def keeping(engine: Engine) -> str:
    """An image that asks for a volume, with something in it."""
    lines = [f"FROM {TINY}", "RUN mkdir /kept && echo here > /kept/file && chown 7:8 /kept/file", "VOLUME /kept"]
    with contextlib.closing(engine.client()) as client:
        client.images.build(fileobj=io.BytesIO("\n".join(lines).encode()), tag="berth-test/keeping:1", rm=True)
    return "berth-test/keeping:1"


def running(agent: RunningAgent, image: str = TINY) -> ContainerSpec:
    return agent.ready(image, resources=SIZE, network_mode=NetworkMode.NONE)


def written(agent: RunningAgent, spec: ContainerSpec, path: str = "/filled") -> int:
    """Fill the disk until it says no; the megabytes that fitted."""
    said = agent.inside(spec.container_id, FILL.format(path, path))
    assert "Disk quota exceeded" in said, said
    return int(said.split()[-1])


def data_root(engine: Engine) -> Path:
    return Path(engine.root + DockerEngine(engine.url).facts().data_root)


def test_a_container_writes_as_much_as_it_was_granted_and_no_more(limiting: RunningAgent) -> None:
    spec = running(limiting)

    assert GRANTED_MB - SLACK_MB <= written(limiting, spec) <= GRANTED_MB
    assert "quota" in limiting.inside(spec.container_id, "echo more > /home 2>&1 || echo more > /tmp/more")

    limiting.inside(spec.container_id, "rm /filled")
    assert limiting.inside(spec.container_id, "echo again > /tmp/again && cat /tmp/again") == "again\n"
    limiting.remove(spec)


def test_the_images_bytes_are_not_counted_and_its_files_are_there(limiting: RunningAgent) -> None:
    spec = running(limiting)

    assert "busybox" in limiting.inside(spec.container_id, "ls /bin")
    assert written(limiting, spec) >= GRANTED_MB - SLACK_MB
    limiting.remove(spec)


def test_a_full_container_stops_and_starts_with_all_it_had_and_is_still_full(limiting: RunningAgent) -> None:
    spec = running(limiting)
    full = written(limiting, spec)

    for verb, told in (("stop", "stopped"), ("start", "started"), ("restart", "started")):
        before = len([event for event in limiting.about(spec.container_id) if event.kind == told])
        limiting.power(spec, verb)
        limiting.wait(lambda k=told, b=before: len([e for e in limiting.about(spec.container_id) if e.kind == k]) > b)

    assert int(limiting.inside(spec.container_id, "du -sm /filled | cut -f1")) == full
    assert "quota" in limiting.inside(spec.container_id, "dd if=/dev/zero of=/more bs=1M count=1 2>&1")
    limiting.remove(spec)


def test_volumes_of_the_image_are_counted_with_the_rest(limiting: RunningAgent, keeping: str) -> None:
    spec = running(limiting, keeping)
    assert limiting.inside(spec.container_id, "cat /kept/file; stat -c %u:%g /kept/file") == "here\n7:8\n"

    limiting.inside(spec.container_id, "dd if=/dev/zero of=/half bs=1M count=12")

    assert written(limiting, spec, "/kept/filled") <= GRANTED_MB - 12
    assert "quota" in limiting.inside(spec.container_id, "dd if=/dev/zero of=/more bs=1M count=2 2>&1")
    limiting.remove(spec)


@pytest.mark.parametrize("volumes", [False, True])
def test_what_is_written_is_gauged_with_volumes_and_after_a_start(
    limiting: RunningAgent, engine: Engine, keeping: str, volumes: bool
) -> None:
    spec = running(limiting, keeping if volumes else TINY)
    docker = DockerEngine(engine.url)
    disk = disk_of(docker, docker.facts(), Path(engine.root))
    [container] = limiting.containers(spec.container_id)
    gauge = disk.gauge(str(container.id))
    folders = ["/", "/kept"] if volumes else ["/"]

    def gauged() -> int:
        limiting.inside(spec.container_id, "sync")
        return int(gauge() or 0) // MEGABYTE

    for number, folder in enumerate(folders, 1):
        limiting.inside(spec.container_id, f"dd if=/dev/urandom of={folder}/written bs={MEGABYTE} count=5")
        assert 5 * number <= gauged() <= 5 * number + SLACK_MB

    limiting.power(spec, "restart")
    limiting.until(spec.container_id, "started")
    assert gauged() >= 5 * len(folders)
    limiting.inside(spec.container_id, "rm /written")
    assert gauged() < 5 * len(folders)
    limiting.remove(spec)


def test_the_limit_outlives_agent_and_daemon(limiting: RunningAgent, engine: Engine) -> None:
    spec = running(limiting)
    limiting.child.kill()
    killed = engine.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    limiting.wait(lambda: engine.pid not in (None, killed))
    limiting.start()
    limiting.wait(lambda: limiting.heartbeats and limiting.heartbeats[-1].report.engine_up)

    assert written(limiting, spec) <= GRANTED_MB
    limiting.remove(spec)


def test_nothing_is_left_of_a_container_that_is_gone(limiting: RunningAgent, engine: Engine, keeping: str) -> None:
    spec = running(limiting, keeping)
    [container] = limiting.containers(spec.container_id)
    layer = Path(engine.root + container.attrs["GraphDriver"]["Data"]["UpperDir"]).parent
    number = btrfs.subvolume_id(layer)
    assert btrfs.is_subvolume(layer)

    limiting.remove(spec)

    assert not layer.exists()
    assert list(layer.parent.glob("*.berth")) == []
    numbers = ends_without(data_root(engine), number)
    assert number not in numbers


def ends_without(folder: Path, number: int) -> set[int]:
    """Groups once this one is gone: the kernel takes subvolumes apart by and by, and our sweep comes each second."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        os.sync()
        found = {each for _, each in btrfs.groups(folder)}
        if number not in found:
            return found
        time.sleep(0.5)
    return found


def test_what_was_cut_off_between_is_done_the_next_time(engine: Engine) -> None:
    docker = DockerEngine(engine.url)
    disk = disk_of(docker, docker.facts(), Path(engine.root))
    spec = a_spec(image=TINY, resources=SIZE, network_mode=NetworkMode.NONE, container_id=uuid.uuid4().hex)
    engine_id = docker.create(profile_of(spec, "nobody", "none", 1))
    layer = Path(engine.root + docker.writable(engine_id).layer)
    half = layer.with_name(layer.name + ".berth")
    btrfs.create(half)
    (half / "stray").write_text("of a copy that was cut off")

    disk.sweep()
    assert half.exists()
    with disk.limited(engine_id, GRANTED_MB):
        docker.start(engine_id)

    assert btrfs.is_subvolume(layer)
    assert not half.exists()
    assert not (layer / "stray").exists()
    half.mkdir()
    disk.sweep()
    assert not half.exists()
    docker.remove(engine_id)


def test_a_layer_in_use_is_never_exchanged(engine: Engine) -> None:
    docker = DockerEngine(engine.url)
    disk = disk_of(docker, docker.facts(), Path(engine.root))
    spec = a_spec(image=TINY, resources=SIZE, network_mode=NetworkMode.NONE, container_id=uuid.uuid4().hex)
    engine_id = docker.create(profile_of(spec, "nobody", "none", 1))
    docker.start(engine_id)
    layer = Path(engine.root + docker.writable(engine_id).layer)
    inode = layer.stat().st_ino

    with disk.limited(engine_id, GRANTED_MB):
        pass

    assert layer.stat().st_ino == inode
    docker.remove(engine_id)


def test_owner_and_mode_of_the_layer_stay_what_the_engine_made_them(engine: Engine) -> None:
    docker = DockerEngine(engine.url)
    disk = disk_of(docker, docker.facts(), Path(engine.root))
    spec = a_spec(image=TINY, resources=SIZE, network_mode=NetworkMode.NONE, container_id=uuid.uuid4().hex)
    engine_id = docker.create(profile_of(spec, "nobody", "none", 1))
    layer = Path(engine.root + docker.writable(engine_id).layer)
    before = {path: _marks(path) for path in (layer, *layer.iterdir())}

    with disk.limited(engine_id, GRANTED_MB):
        assert {path: _marks(path) for path in (layer, *layer.iterdir())} == before

    docker.remove(engine_id)


def _marks(path: Path) -> tuple[int, int, int, float]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime


def test_this_engine_has_subvolumes_and_one_without_project_quotas_refuses_sizes(engine: Engine, keeping: str) -> None:
    """The engine's own way cannot be had here: that it is asked for, of layer and of volumes, can be seen."""
    docker = DockerEngine(engine.url)
    facts = docker.facts()
    spec = a_spec(image=keeping, resources=SIZE, network_mode=NetworkMode.NONE)
    profile = StorageOption(docker).told(profile_of(spec, "nobody", "none", 1), GRANTED_MB)

    assert isinstance(disk_of(docker, facts, Path(engine.root)), Subvolumes)
    assert isinstance(disk_of(docker, facts, Path("/nowhere")), Unenforced)
    assert not docker.takes_sizes()
    with pytest.raises(EngineRefused, match="pquota"):
        docker.create(profile)
    profile.host_config.pop("storage_opt")
    with pytest.raises(EngineRefused, match="quota size requested"):
        docker.create(profile)
