"""Registries for tests: an engine and a folder come in, a loopback registry the engine can reach goes out."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.ground.engine import Engine
from infra.ground.errors import NoRegistry
from infra.ground.packages import Say, ensure_programs, find

START_SECONDS = 10

_SILENT = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
held = []
while True:
    held.append(listener.accept())
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry on loopback, in the network namespace of the engine."""

    engine: Engine
    port: int
    folder: Path

    @property
    def address(self) -> str:
        """What image references begin with."""
        return f"127.0.0.1:{self.port}"

    def hold(self, image: str, name: str) -> str:
        """Push a local image under this name; the reference to pull it by. The engine keeps no copy of that name."""
        reference = f"{self.address}/{name}"
        client = self.engine.client()
        try:
            client.images.get(image).tag(reference)
            outcome = client.images.push(reference, stream=True, decode=True)
            errors = [line["error"] for line in outcome if "error" in line]
            client.images.remove(reference)
        finally:
            client.close()
        if errors:
            raise NoRegistry(f"push of {name} failed: {errors[0]}")
        return reference

    def forget(self, name: str) -> None:
        """Hold no image of this name (without tag) any more; layers stay, for the next time."""
        shutil.rmtree(self.folder / "docker/registry/v2/repositories" / name, ignore_errors=True)


@contextmanager
def registry_at(folder: Path, engine: Engine, say: Say, port: int = 5000) -> Iterator[Registry]:
    """Debian's docker-registry with its data in this folder, stopped at the end. NoRegistry."""
    ensure_programs(["docker-registry"], say)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "registry.json"
    config.write_text(json.dumps(_settings(folder, port)))
    command = [find("docker-registry") or "docker-registry", "serve", str(config)]
    with (folder / "registry.log").open("ab") as log:
        process = subprocess.Popen(_inside(engine, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_port(engine, port, folder / "registry.log")
        yield Registry(engine, port, folder)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def silent_registry(engine: Engine, port: int = 5001) -> Iterator[str]:
    """An address that takes connections and never says a word."""
    command = _inside(engine, [sys.executable, "-c", _SILENT, str(port)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise NoRegistry(f"port {port} cannot be listened on")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _settings(folder: Path, port: int) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder.resolve())}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }


def _inside(engine: Engine, command: list[str]) -> list[str]:
    return ["nsenter", f"--net={engine.netns}", *command] if engine.netns else command


def _await_port(engine: Engine, port: int, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if _listens(engine, port):
            return
        time.sleep(0.05)
    raise NoRegistry(f"docker-registry did not start: read {log}")


def _listens(engine: Engine, port: int) -> bool:
    if engine.netns is None:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    listing = subprocess.run(_inside(engine, ["ss", "-Htln"]), capture_output=True, text=True, check=False).stdout
    return f"127.0.0.1:{port} " in listing
