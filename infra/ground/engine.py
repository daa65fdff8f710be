"""A Docker engine: the one that answers, or a private one started here; a data folder comes in, an engine goes out."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from infra.ground.disk import await_release, mount_disk, unmount_disk
from infra.ground.errors import NoEngine
from infra.ground.hold import Hold
from infra.ground.leftovers import end_containers, end_engine
from infra.ground.mounts import HeldMounts, die_with_parent, map_users, reachable
from infra.ground.netns import NetworkNamespace
from infra.ground.packages import Say, ensure_programs, find
from infra.ground.runtimes import runtimes

START_SECONDS = 30
STOP_SECONDS = 20
MIRROR = "http://127.0.0.1:5000"
"""Where a private engine looks first for images of the public registry: a registry in its own namespace, if any."""

KEEP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. `netns` is the network namespace of its bridges when that is not the machine's own."""

    url: str
    owned: bool
    netns: str | None
    version: str
    root: str = "/"
    """Where the engine's file system is for us."""

    @property
    def pid(self) -> int | None:
        """The daemon's process, of an engine of ours."""
        path = Path(self.url.removeprefix("unix://")).parent / "dockerd.pid"
        text = path.read_text() if self.owned and path.exists() else ""
        return int(text) if text else None

    def client(self) -> docker.DockerClient:
        """A client of the engine; close it after use."""
        return docker.DockerClient(base_url=self.url, timeout=60)


@contextmanager
def engine_at(data: Path, say: Say, *, private: bool = False) -> Iterator[Engine]:
    """The engine that answers, else a private one with its data in this folder, stopped at the end. NoEngine."""
    found = None if private else answering_engine()
    if found is not None:
        yield found
        return
    engine = PrivateEngine(data)
    engine.claim()
    try:
        started = engine.start(say)
        engine.keep(say)
        yield started
    finally:
        engine.stop()


def answering_engine() -> Engine | None:
    """The engine of DOCKER_HOST or the usual socket, if one answers."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    version = _version(url)
    return Engine(url, owned=False, netns=None, version=version) if version else None


class PrivateEngine:
    """A dockerd of our own, in its own network and mount namespaces; one per data folder, which one run holds."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        key = hashlib.sha256(str(self._data).encode()).hexdigest()[:6]
        self._hold = Hold(self._data)
        self._run = Path(f"/run/berth-{key}")
        self._network = NetworkNamespace(key)
        self._mounts: HeldMounts | None = None
        self._settings: dict[str, object] = {}
        self._sized = False
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def data(self) -> Path:
        """The folder that is kept from one engine to the next."""
        return self._data

    @property
    def url(self) -> str:
        return f"unix://{self._run}/docker.sock"

    @property
    def _data_root(self) -> Path:
        return self._data / "data"

    @property
    def _root(self) -> Path:
        """Leads into the mount namespace of today, by a name that the next one has, too."""
        return self._run / "root"

    def claim(self) -> None:
        """Have the data folder to ourselves until it is stopped or we die; NoEngine when another run has it."""
        if os.geteuid() != 0:
            raise NoEngine("no Docker engine answers and only root can start one: start Docker, or run this as root")
        self._data.mkdir(parents=True, exist_ok=True)
        self._hold.take()

    def start(self, say: Say) -> Engine:
        """Start it (and install it first, as root on Debian), or NoEngine."""
        self.claim()
        ensure_programs(["dockerd", "iptables", "nft", "ip", "nsenter"], say)
        self._end()
        say("starting a private Docker engine")
        self._run.mkdir(parents=True, exist_ok=True)
        self._network.create()
        self._mounts = HeldMounts()
        self._root.symlink_to(f"/proc/{self._mounts.pid}/root")
        self._sized = mount_disk(self._data_root, self._mounts.pid, say)
        self._settings = self._settings_in(self._mounts, say)
        self._process = self._spawn()
        version = self._await()
        if version is None:
            self.stop()
            raise NoEngine(f"dockerd did not start: read {self._data / 'dockerd.log'}")
        return Engine(self.url, owned=True, netns=self._network.path, version=version, root=str(self._root))

    def keep(self, say: Say) -> None:
        """From now on, start a daemon that ends again over its data; what runs in containers goes on meanwhile."""
        self._over.clear()
        self._keeper = threading.Thread(target=self._keep, args=(say,), daemon=True, name="engine")
        self._keeper.start()

    def _keep(self, say: Say) -> None:
        while not self._over.wait(KEEP_SECONDS):
            if self._process is None or self._process.poll() is None:
                continue
            say("the Docker engine has ended; starting it again")
            self._forget_pids()
            self._process = self._spawn()
            if self._await() is None and not self._over.is_set():
                say(f"the Docker engine did not come back: read {self._data / 'dockerd.log'}")

    def stop(self) -> None:
        """Stop it and what a dead run of the same folder left; NoEngine, and nothing done, when a living one has it."""
        if self._data.is_dir():
            self._hold.take()
        try:
            self._end()
        finally:
            self._hold.give_back()

    def _end(self) -> None:
        """Nothing of it remains but the data."""
        self._over.set()
        end_containers(str(self._run))
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            _terminate(self._process)
        if self._keeper is not None:
            self._keeper.join()
        end_engine(str(self._run))
        if self._mounts is not None:
            unmount_disk(self._data_root, self._mounts.pid)
            self._mounts.release()
        await_release(self._data_root)
        self._process = self._mounts = self._keeper = None
        if shutil.which("ip"):
            self._network.remove()
        shutil.rmtree(self._run, ignore_errors=True)

    def _forget_pids(self) -> None:
        """A killed process may not have been reaped yet, and a daemon does not start beside a process file of one."""
        for path in (self._run / "dockerd.pid", self._run / "exec/containerd/containerd.pid"):
            path.unlink(missing_ok=True)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        config = self._run / "daemon.json"
        config.write_text(json.dumps(self._settings))
        daemon = [find("dockerd") or "dockerd", "--config-file", str(config), "--host", self.url]
        mounts = f"--mount={self._mounts.path if self._mounts else '/proc/1/ns/mnt'}"
        with (self._data / "dockerd.log").open("ab") as log:
            return subprocess.Popen(
                ["nsenter", mounts, f"--net={self._network.path}", *daemon],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _settings_in(self, mounts: HeldMounts, say: Say) -> dict[str, object]:
        data = self._data_root
        if not data.exists():
            data.mkdir()
        return {
            "data-root": str(reachable(mounts, data, self._run) if data.is_dir() else data),
            **({"storage-driver": "overlay2"} if self._sized else {}),
            **map_users(mounts, self._run, say),
            "runtimes": runtimes(mounts, say),
            "exec-root": str(self._run / "exec"),
            "pidfile": str(self._run / "dockerd.pid"),
            "bip": "172.29.0.1/24",
            "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
            "registry-mirrors": [MIRROR],
            "userland-proxy": False,
            "live-restore": True,
            "log-level": "warn",
            "max-concurrent-downloads": 3,
        }

    def _await(self) -> str | None:
        """Its version once it answers; None when it ended, or took too long."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            version = _version(self.url)
            if version:
                return version
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.05)
        return None


def _version(url: str) -> str | None:
    try:
        client = docker.DockerClient(base_url=url, timeout=3)
        try:
            return str(client.version()["Version"])
        finally:
            client.close()
    except (DockerException, OSError, KeyError):
        return None


def _terminate(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
