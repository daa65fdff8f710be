"""`network.namespaces.Namespaces` over the engine's socket: a host's network comes in, holders go out.

A holder does nothing: `pause` in an empty image of our own making, without capabilities, on the containers' network.
"""

import ctypes
import io
import os
import secrets
import socket
import struct
import tarfile
import threading
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from infra.hostagent.engine.docker_client import CALL_SECONDS, connect, our_errors
from infra.hostagent.network.namespaces import Holder
from infra.hostagent.ports import EngineRefused, ImageMissing

LABEL_HOLDER = "berth.holder"
"""Holders carry their host's id under this label and no other of ours: nobody takes them for containers of users."""

IMAGE = "berth/holder:1"
IDLE = "/pause"
"""The only program in it, which does nothing."""

_MEMORY = 32 * 1024 * 1024
_THREADS = 32
"""What the runtime needs while it starts one; under less it dies now and then, and the container with it."""
_CLONE_NEWUTS = 0x04000000
_CONFLICT, _NOT_FOUND = 409, 404


class DockerNamespaces:
    """`Namespaces` over the engine's socket, for an agent that is root beside it."""

    def __init__(
        self, url: str, host_id: str, network: str, resolver: str | None = None, runtime: str | None = None
    ) -> None:
        self._url = url
        self._host_id = host_id
        self._network = network
        self._resolver = resolver
        self._runtime = runtime
        self._client: Any = None

    def make(self) -> str:
        with our_errors():
            holder = self._created()
            try:
                self._api().start(holder)
            except APIError:
                self.remove(holder)
                raise
        return holder

    def _created(self) -> str:
        api = self._api()
        config = api.create_host_config(
            network_mode=self._network,
            runtime=self._runtime,
            dns=[self._resolver] if self._resolver else None,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            read_only=True,
            mem_limit=_MEMORY,
            memswap_limit=_MEMORY,
            pids_limit=_THREADS,
            restart_policy={"Name": "no"},
            log_config={"Type": "none", "Config": {}},
        )
        arguments = {
            "name": f"berth-net-{self._host_id}-{secrets.token_hex(6)}",
            "entrypoint": [IDLE],
            "hostname": "container",
            "user": "65534",
            "labels": {LABEL_HOLDER: self._host_id},
            "host_config": config,
        }
        return idler(api, arguments)

    def all(self) -> list[Holder]:
        with our_errors():
            rows = self._api().containers(all=True, filters={"label": [f"{LABEL_HOLDER}={self._host_id}"]})
        return [self._holder(row["Id"], row["State"] == "running", row) for row in rows]

    def _holder(self, engine_id: str, running: bool, found: dict[str, Any]) -> Holder:
        joined = (found.get("NetworkSettings") or {}).get("Networks", {}).get(self._network) or {}
        return Holder(engine_id, running, str(joined.get("IPAddress") or ""))

    def mend(self, holder: str) -> None:
        with our_errors():
            api = self._api()
            found = api.inspect_container(holder)
            now = self._holder(holder, bool(found["State"]["Running"]), found)
            if now.usable:
                return
            if self._network in found["NetworkSettings"]["Networks"] and not now.running:
                # it may know the network by an id that is gone
                api.disconnect_container_from_network(holder, self._network, force=True)
            if not now.address:
                api.connect_container_to_network(holder, self._network)
            if not now.running:
                api.start(holder)

    def remove(self, holder: str) -> None:
        with our_errors():
            try:
                self._api().remove_container(holder, force=True, v=True)
            except APIError as error:
                if error.status_code not in (_NOT_FOUND, _CONFLICT):
                    raise

    def name(self, engine_id: str, hostname: str) -> None:
        with our_errors():
            pid = int(self._api().inspect_container(engine_id)["State"]["Pid"])
        set_hostname(pid, engine_id, hostname)

    def _api(self) -> Any:
        if self._client is None:
            self._client = connect(self._url, CALL_SECONDS)
        return self._client


def idler(api: Any, arguments: dict[str, Any]) -> str:
    """The engine's id of a new container of the holder's image; ImageMissing on processors for which there is none."""
    try:
        return str(api.create_container(IMAGE, **arguments)["Id"])
    except ImageNotFound:
        _import(api)
        return str(api.create_container(IMAGE, **arguments)["Id"])


def _import(api: Any) -> None:
    architecture = api.info()["Architecture"]
    if architecture != "x86_64":
        raise ImageMissing(f"no holder for {architecture}")
    repository, _, tag = IMAGE.partition(":")
    api.import_image_from_data(image_archive(), repository, tag)


def set_hostname(pid: int, engine_id: str, hostname: str) -> None:
    """Set it in the UTS namespace of a container's process, or EngineRefused; never in the host's own.

    By a thread of its own, which ends in the namespace that it has entered.
    """
    failures: list[OSError] = []

    def work() -> None:
        try:
            _enter(pid, engine_id)
            socket.sethostname(hostname)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="hostname")
    thread.start()
    thread.join()
    if failures:
        raise EngineRefused(f"the container cannot be given its name: {failures[0].strerror}")


def _enter(pid: int, engine_id: str) -> None:
    """OSError unless the process is that container's, seen from here."""
    process = Path(f"/proc/{pid}")
    namespace = os.open(process / "ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if engine_id not in (process / "cgroup").read_text():
            raise OSError(0, "its process is not to be seen from here")
        own = Path("/proc/self/ns/uts").stat()
        there = os.fstat(namespace)
        if (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino):
            raise OSError(0, "it has no name of its own")
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWUTS) != 0:
            raise OSError(ctypes.get_errno(), "its namespace cannot be entered")
    finally:
        os.close(namespace)


def image_archive() -> bytes:
    """The holder's image: one program, which waits for signals for ever."""
    program = _elf(bytes.fromhex("b8220000000f05ebf7"))  # again: mov eax, SYS_pause; syscall; jmp again
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


def _elf(code: bytes) -> bytes:
    """A program of this machine code alone, for Linux on x86-64."""
    base, headers = 0x400000, 64 + 56
    size = headers + len(code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code
