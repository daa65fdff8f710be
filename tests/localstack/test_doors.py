"""A door passes on all that comes, both ways, and each end's end; who calls through a door to nobody is hung up on."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local.cloud import free_port
from infra.local.processes import Child
from infra.localstack.doors import SCRIPT

MUCH = os.urandom(3_000_000)


@contextmanager
def _pair(folder: Path, port: int, target: int) -> Iterator[None]:
    """A door through a wall: one process on each side."""
    folder.mkdir()
    sides = [(str(port), "wall"), ("wall", str(target))]
    children = [
        Child("door", [sys.executable, str(SCRIPT), str(folder), *side], os.environ, folder / "log") for side in sides
    ]
    try:
        ends = time.monotonic() + 20
        while not ((folder / "wall").exists() and _listens(port)) and time.monotonic() < ends:
            time.sleep(0.05)
        yield
    finally:
        for child in children:
            child.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _echo(listener: socket.socket) -> None:
    """Answer every caller with what it said, once it has said all."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        with caller:
            caller.sendall(_all(caller))


def _all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def _ask(port: int, said: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        return _all(connection)


def test_all_comes_through_and_so_does_the_end_of_each_side(tmp_path: Path) -> None:
    deep = tmp_path / ("a-folder-with-a-long-name-" * 5)  # longer than a socket's name may be
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with _pair(deep, port := free_port(0, "--port"), listener.getsockname()[1]):
            assert _ask(port, MUCH) == MUCH
            assert _ask(port, b"") == b""
        listener.shutdown(socket.SHUT_RDWR)


def test_a_door_to_nobody_hangs_up(tmp_path: Path) -> None:
    with _pair(tmp_path / "doors", port := free_port(0, "--port"), free_port(0, "--port")):
        assert _ask(port, b"anybody?") == b""
