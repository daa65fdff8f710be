"""The private engine: comes up, leaves nothing, and recovers from whoever started it being killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.errors import DockerException

from infra.ground.disk import image_of, mount_disk, unmount_disk
from infra.ground.engine import PrivateEngine, engine_at
from infra.ground.errors import NoEngine
from infra.ground.images import TINY, BaseImages
from tests.aws import ROOT
from tests.engines import CACHE, say
from tests.inside import run_in

STARTER = """
import sys, time
from pathlib import Path
from infra.ground.engine import PrivateEngine
from tests.inside import run_in
PrivateEngine(Path(sys.argv[1])).start(lambda line: None)
print("started", flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(scope="module")
def root() -> None:
    """A private engine can be started by root only: without, these tests fail and say so."""
    assert os.geteuid() == 0, "run as root: these tests start a Docker engine of their own"


def traces(engine: PrivateEngine) -> dict[str, str]:
    """What this engine may leave on a machine."""
    run = engine.url.removeprefix("unix://").removesuffix("/docker.sock")
    key = run.rpartition("-")[2]
    commands = {
        "links": f"ip -o link | grep -o 'bth{key}[ab]\\|docker[0-9]*'",
        "namespaces": f"ip netns list | grep -o berth-{key}",
        "rules": f"iptables-save | grep -v '^#\\|^:' | grep berth-{key}",
        "processes": f"ps -ww -eo stat=,args= | grep {run}/ | grep -v grep",
        "mounts": f"grep {run} /proc/mounts",
        "folder": f"ls {run}",
        "loops": f"cat /sys/block/loop*/loop/backing_file | grep {engine.data}/",
    }
    return {
        name: subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout
        for name, command in commands.items()
    }


@contextlib.contextmanager
def held_mounts() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a mount namespace of its own."""
    command = ["unshare", "-m", "--propagation", "slave", "sh", "-c", "echo; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder
        holder.kill()


def test_an_engine_comes_up_runs_a_container_and_leaves_nothing(tmp_path: Path) -> None:
    private = PrivateEngine(tmp_path / "engine")
    before = traces(private)

    engine = private.start(say)
    with contextlib.closing(engine.client()) as client:
        BaseImages(client, CACHE, say).ensure_tiny()
        output = client.containers.run(TINY, ["echo", "hello"], remove=True)
    during = traces(private)
    private.stop()

    assert output == b"hello\n"
    assert during != before
    assert traces(private) == before


def test_root_inside_is_nobody_outside_and_the_machines_own_files_stay(tmp_path: Path) -> None:
    ranges = [Path(f"/etc/{name}") for name in ("subuid", "subgid")]
    before = [each.read_bytes() for each in ranges]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)  # root's alone: a clone may lie in somebody's home

    with engine_at(closed / "engine", say, private=True) as engine, contextlib.closing(engine.client()) as client:
        BaseImages(client, CACHE, say).ensure_tiny()
        container = client.containers.run(TINY, ["sleep", "6002"], detach=True)
        status = Path(f"/proc/{client.api.inspect_container(container.id)['State']['Pid']}/status").read_text()
        inside = run_in(client.api, container.id, ["id", "-u"]).output
        ids = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
        root = Path(client.info()["DockerRootDir"])
        container.remove(force=True)

        assert (inside, ids["Uid"].split(), ids["Gid"].split()) == (b"0\n", ["100000"] * 4, ["100000"] * 4)
        assert root.resolve().is_relative_to(closed)
    assert [each.read_bytes() for each in ranges] == before


@contextlib.contextmanager
def started_by_another(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has started an engine there; it is killed at the end."""
    command = [sys.executable, "-c", STARTER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"started\n"
        try:
            yield starter
        finally:
            starter.kill()


def test_a_second_run_is_refused_and_the_engine_of_the_first_runs_on(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    private = PrivateEngine(folder)
    before = traces(private)
    with started_by_another(folder) as starter:
        running = DockerClient(base_url=private.url)
        with contextlib.closing(running):
            BaseImages(running, CACHE, say).ensure_tiny()
            container = running.containers.run(TINY, ["sleep", "6003"], detach=True)
            during = traces(private)

            for attempt in (private.stop, lambda: private.start(say), engine_at(folder, say, private=True).__enter__):
                with pytest.raises(NoEngine, match=f"^process {starter.pid} .* uses the engine in {folder}: wait"):
                    attempt()

            assert traces(private) == during
            container.reload()
            assert container.status == "running"
        with engine_at(tmp_path / "engine-2", say, private=True) as other, contextlib.closing(other.client()) as client:
            assert client.ping()

    private.stop()
    assert traces(private) == before


def cleaned(clone: Path) -> "subprocess.CompletedProcess[str]":
    """What `make clean` does with engines in a clone."""
    command = [sys.executable, "-m", "infra.ground", "clean"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


def test_clean_leaves_an_engine_in_use_alone_and_ends_one_whose_run_is_dead(tmp_path: Path) -> None:
    folder = tmp_path / ".berth/demo/engine"
    private = PrivateEngine(folder)
    before = traces(private)
    with started_by_another(folder) as starter:
        refused = cleaned(tmp_path)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"process {starter.pid} (" in refused.stderr
        with contextlib.closing(DockerClient(base_url=private.url)) as client:
            assert client.ping()

    assert cleaned(tmp_path).returncode == 0
    assert traces(private) == before


def test_an_engine_whose_starter_was_killed_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    private = PrivateEngine(folder)
    before = traces(private)
    with started_by_another(folder) as starter:
        starter.send_signal(signal.SIGKILL)

    engine = private.start(say)
    with contextlib.closing(engine.client()) as client:
        assert client.ping()
    private.stop()

    assert traces(private) == before


def test_a_daemon_that_is_killed_comes_back_and_containers_run_on_meanwhile(tmp_path: Path) -> None:
    before = traces(PrivateEngine(tmp_path / "engine"))
    with engine_at(tmp_path / "engine", say, private=True) as engine, contextlib.closing(engine.client()) as client:
        BaseImages(client, CACHE, say).ensure_tiny()
        container = client.containers.run(TINY, ["sleep", "6001"], detach=True, init=True)
        began, killed = client.api.inspect_container(container.id)["State"]["StartedAt"], engine.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        until(lambda: engine.pid not in (None, killed) and client.ping())

        assert client.api.inspect_container(container.id)["State"]["StartedAt"] == began
        assert run_in(client.api, container.id, ["echo", "alive"]) == (0, b"alive\n")
        container.restart(timeout=1)
        assert run_in(client.api, container.id, ["echo", "again"]) == (0, b"again\n")

    assert traces(PrivateEngine(tmp_path / "engine")) == before
    listing = subprocess.run(["pgrep", "-f", "^/sbin/docker-init -- sleep 6001$"], capture_output=True, check=False)
    assert listing.stdout == b""


def test_a_daemon_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    private = PrivateEngine(tmp_path / "engine")
    before = traces(private)
    pid = private.start(say).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    private.stop()

    assert traces(private) == before


def until(found: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while True:
        with contextlib.suppress(DockerException, OSError):
            if found():
                return
        assert time.monotonic() < ends, "the daemon never came back"
        time.sleep(0.1)


def test_an_engine_has_a_disk_with_quotas_and_keeps_its_images_on_it(tmp_path: Path) -> None:
    private = PrivateEngine(tmp_path / "engine")
    before = traces(private)
    for first in (True, False):
        with engine_at(tmp_path / "engine", say, private=True) as engine, contextlib.closing(engine.client()) as client:
            found = client.info()
            assert (found["Driver"], dict(found["DriverStatus"])["Backing Filesystem"]) == ("overlay2", "btrfs")
            assert bool(client.images.list(TINY)) is not first
            BaseImages(client, CACHE, say).ensure_tiny()
            assert traces(private)["loops"]

    assert traces(private) == before


def test_a_disk_that_was_damaged_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    image_of(folder).write_bytes(b"no file system at all")

    with held_mounts() as holder:
        assert mount_disk(folder, holder.pid, say)
        unmount_disk(folder, holder.pid)


def test_where_no_disk_can_be_had_it_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.write_text("not a folder")
    said: list[str] = []

    with held_mounts() as holder:
        assert not mount_disk(folder, holder.pid, said.append)

    assert "not limited" in said[-1]
    assert not image_of(folder).exists()


def test_two_engines_of_two_folders_do_not_meet(tmp_path: Path) -> None:
    one, two = PrivateEngine(tmp_path / "one"), PrivateEngine(tmp_path / "two")
    try:
        engines = [one.start(say), two.start(say)]
        assert len({engine.url for engine in engines} | {engine.netns for engine in engines}) == 4
    finally:
        one.stop()
        two.stop()


def test_an_engine_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "data").write_text("not a folder")

    with pytest.raises(NoEngine, match=r"dockerd\.log"):
        PrivateEngine(folder).start(say)
