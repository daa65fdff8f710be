"""A Docker engine: the one that answers, or a private one started here; a data folder comes in, an engine goes out."""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from infra.ground.errors import NoEngine
from infra.ground.netns import NetworkNamespace
from infra.ground.packages import Say, ensure_programs, find

START_SECONDS = 30
STOP_SECONDS = 20
MIRROR = "http://127.0.0.1:5000"
"""Where a private engine looks first for images of the public registry: a registry in its own namespace, if any."""

_PR_SET_PDEATHSIG = 1
_ENGINE_PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "containerd-shim", "docker-proxy")


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. `netns` is the network namespace of its bridges when that is not the machine's own."""

    url: str
    owned: bool
    netns: str | None
    version: str

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
    try:
        yield engine.start(say)
    finally:
        engine.stop()


def answering_engine() -> Engine | None:
    """The engine of DOCKER_HOST or the usual socket, if one answers."""
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    version = _version(url)
    return Engine(url, owned=False, netns=None, version=version) if version else None


class PrivateEngine:
    """A dockerd of our own, in its own network and mount namespaces; one per data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        key = hashlib.sha256(str(self._data).encode()).hexdigest()[:6]
        self._run = Path(f"/run/berth-{key}")
        self._network = NetworkNamespace(key)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._run}/docker.sock"

    def start(self, say: Say) -> Engine:
        """Start it (and install it first, as root on Debian), or NoEngine."""
        if os.geteuid() != 0:
            raise NoEngine("no Docker engine answers and only root can start one: start Docker, or run this as root")
        ensure_programs(["dockerd", "iptables", "ip", "nsenter"], say)
        self.stop()
        say("starting a private Docker engine")
        self._data.mkdir(parents=True, exist_ok=True)
        self._run.mkdir(parents=True, exist_ok=True)
        self._network.create()
        self._process = self._spawn()
        version = self._await()
        return Engine(self.url, owned=True, netns=self._network.path, version=version)

    def stop(self) -> None:
        """Stop it and what an earlier run of the same folder left; nothing of it remains but the data."""
        if self._process is not None:
            _terminate(self._process)
            self._process = None
        self._end_leftovers()
        if shutil.which("ip"):
            self._network.remove()
        shutil.rmtree(self._run, ignore_errors=True)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        config = self._run / "daemon.json"
        config.write_text(json.dumps(self._settings()))
        daemon = [find("dockerd") or "dockerd", "--config-file", str(config), "--host", self.url]
        with (self._data / "dockerd.log").open("ab") as log:
            return subprocess.Popen(
                ["nsenter", f"--net={self._network.path}", "unshare", "-m", "--propagation", "slave", *daemon],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def _settings(self) -> dict[str, object]:
        return {
            "data-root": str(self._data / "data"),
            "exec-root": str(self._run / "exec"),
            "pidfile": str(self._run / "dockerd.pid"),
            "bip": "172.29.0.1/24",
            "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
            "registry-mirrors": [MIRROR],
            "userland-proxy": False,
            "log-level": "warn",
            "max-concurrent-downloads": 3,
        }

    def _await(self) -> str:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            version = _version(self.url)
            if version:
                return version
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise NoEngine(f"dockerd did not start: read {self._data / 'dockerd.log'}")

    def _end_leftovers(self) -> None:
        """Processes of an engine whose starter died: dockerd first, so that it stops what it runs."""
        for programs in (("dockerd",), _ENGINE_PROGRAMS):
            pids = _processes(programs, str(self._run))
            for pid in pids:
                _signal(pid, signal.SIGTERM)
            _await_end(pids)
        for pid in _processes(_ENGINE_PROGRAMS, str(self._run)):
            _signal(pid, signal.SIGKILL)


def _version(url: str) -> str | None:
    try:
        client = docker.DockerClient(base_url=url, timeout=3)
        try:
            return str(client.version()["Version"])
        finally:
            client.close()
    except (DockerException, OSError, KeyError):
        return None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _terminate(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _processes(programs: tuple[str, ...], text: str) -> list[int]:
    """Processes of these programs, and of no others, whose command line has this text."""
    pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [pid for pid in pids if text in _command_line(pid) and _program(pid) in programs]


def _program(pid: int) -> str:
    return Path(_command_line(pid).partition(" ")[0]).name


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _await_end(pids: list[int]) -> None:
    ends = time.monotonic() + STOP_SECONDS
    while any(_command_line(pid) for pid in pids) and time.monotonic() < ends:
        time.sleep(0.05)
