"""A command's output as the engine streams it, in whatever portions it comes: no byte is lost and none is mixed up."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_exec import chunks, hang_up
from infra.hostagent.ports import STDERR, STDOUT, Exited, Ran
from tests.inside import run_in

PING = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
HEAD = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
VERSION = b'{"ApiVersion":"1.41","Version":"20.10.24"}'
ENDED = b'{"Running":false,"ExitCode":0,"Pid":7,"Id":"exec-id"}'


def framed(stream: int, piece: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece


@contextmanager
def engine_that_says(path: Path, portions: list[bytes]) -> Iterator[DockerEngine]:
    """An engine whose answer to a started command comes in these portions, head and all."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, portions), daemon=True)
        thread.start()
        yield DockerEngine(f"unix://{path}")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listening: socket.socket, portions: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, portions), daemon=True).start()


def _answer(connection: socket.socket, portions: list[bytes]) -> None:
    with connection, connection.makefile("rb") as requests:
        while line := requests.readline():
            length = 0
            while (header := requests.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            requests.read(length)
            if b"/start" in line:
                for portion in portions:
                    connection.sendall(portion)
                    time.sleep(0.002)
                return
            body = VERSION if b"/version" in line else ENDED
            connection.sendall(PING % (len(body), body))


def heard(path: Path, portions: list[bytes]) -> tuple[Exited, list[tuple[int, bytes]]]:
    pieces: list[tuple[int, bytes]] = []
    with engine_that_says(path, portions) as engine:
        exited = engine.run_prepared("exec-id", lambda *piece: pieces.append(piece), lambda: False)
    return exited, pieces


def test_what_comes_with_the_head_of_the_answer_is_heard(tmp_path: Path) -> None:
    exited, pieces = heard(tmp_path / "s", [HEAD + framed(STDOUT, b"hello\n")])

    assert exited == Exited(0)
    assert pieces == [(STDOUT, b"hello\n")]


@pytest.mark.parametrize("cut", [len(HEAD), len(HEAD) + 3, len(HEAD) + 8, len(HEAD) + 10])
def test_what_is_cut_anywhere_is_heard_whole(tmp_path: Path, cut: int) -> None:
    whole = HEAD + framed(STDOUT, b"hello") + framed(STDERR, b"") + framed(STDERR, b"oh")
    _, pieces = heard(tmp_path / "s", [whole[:cut], whole[cut:]])

    assert b"".join(piece for stream, piece in pieces if stream == STDOUT) == b"hello"
    assert b"".join(piece for stream, piece in pieces if stream == STDERR) == b"oh"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=30)), max_size=5),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_any_output_in_any_portions(tmp_path: Path, said: list[tuple[int, bytes]], cuts: list[int]) -> None:
    whole = HEAD + b"".join(framed(*each) for each in said)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    portions = [whole[start:end] for start, end in itertools.pairwise(places)]

    _, pieces = heard(tmp_path / "s", portions)

    for stream in (STDOUT, STDERR):
        expected = b"".join(piece for each, piece in said if each == stream)
        assert b"".join(piece for each, piece in pieces if each == stream) == expected


def test_what_comes_with_the_head_of_the_answer_is_among_the_last_words(tmp_path: Path) -> None:
    with engine_that_says(tmp_path / "s", [HEAD + b"hello", b" you\r\n"]) as engine:
        assert engine.run("engine-id", ["echo"], "0", {}, 5.0) == Ran(0, "hello you\r\n")


def test_a_command_that_prints_without_end_on_a_terminal_is_given_up_in_time() -> None:
    ours, engine = socket.socketpair()
    with ours, engine:
        stream = SimpleNamespace(_sock=ours, _response=SimpleNamespace())
        stream._response.raw = SimpleNamespace(_fp=SimpleNamespace(fp=ours.makefile("rb")))
        engine.sendall(b"y" * 1000)
        printed = chunks(stream, time.monotonic() + 0.2)
        assert next(printed)

        began = time.monotonic()
        with pytest.raises(TimeoutError):
            for _ in printed:
                engine.sendall(b"y" * 1000)
        with pytest.raises(TimeoutError):
            list(chunks(stream, time.monotonic() - 1))

    assert time.monotonic() - began < 5


def test_tests_hear_what_comes_with_the_head_of_the_answer(tmp_path: Path) -> None:
    for tty, said in ((False, framed(STDOUT, b"hello\n")), (True, b"hello\n")):
        with engine_that_says(tmp_path / "s", [HEAD + said]):
            client: Any = docker.DockerClient(f"unix://{tmp_path / 's'}")
            with contextlib.closing(client):
                assert run_in(client.api, "engine-id", ["echo"], tty=tty) == (0, b"hello\n")


def test_the_sdk_by_itself_does_not_hear_it(tmp_path: Path) -> None:
    """The day it does, `read_ahead` and `tests.inside` can go (ADR 0033)."""
    with engine_that_says(tmp_path / "s", [HEAD + framed(STDOUT, b"hello\n")]):
        api: Any = docker.APIClient(f"unix://{tmp_path / 's'}")
        with contextlib.closing(api):
            assert api.exec_start("exec-id") == b""


def test_an_engine_is_told_at_once_that_nobody_reads_on() -> None:
    """Whoever in the SDK still holds the socket: an engine that waits for a reader tells of no other command's end."""
    ours, engine = socket.socketpair()
    with ours, engine:
        held_by_the_sdk = ours.makefile("rb")
        engine.settimeout(5)
        engine.sendall(framed(STDOUT, b"more than is read"))

        hang_up(socket.SocketIO(ours, "r"))

        assert not held_by_the_sdk.closed
        assert engine.recv(1) == b""
        with pytest.raises(BrokenPipeError):
            engine.sendall(b"more")
