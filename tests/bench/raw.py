"""The raw engine: what `docker run -d`, a first `docker exec` and `docker rm -f` take, for equal image and limits."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from docker import APIClient

from infra.ground.images import BOOKWORM
from infra.hostagent.engine.docker_exec import hang_up
from infra.hostagent.profile import PIDS
from tests.inside import run_in

MEMORY_MB, CPU_SHARES = 256, 500
ECHO = ["echo", "hello"]


@dataclass(frozen=True, slots=True)
class RawLife:
    """Seconds of one container's life."""

    run: float
    """Until it was started, as `docker run -d` returns."""
    first_output: float
    """Until the first command had printed, from the same beginning."""
    remove: float


class RawEngine:
    """The engine by its own API. Making a client is not counted; a command line would be slower."""

    def __init__(self, url: str) -> None:
        client: Any = APIClient
        self._api = client(base_url=url, version="auto", num_pools=32)

    def begin(self) -> tuple[str, float, float]:
        """A container's id, and the seconds until it was started and until it printed."""
        began = time.perf_counter()
        limits = self._api.create_host_config(
            mem_limit=MEMORY_MB * 1024**2, memswap_limit=MEMORY_MB * 1024**2,
            nano_cpus=CPU_SHARES * 1_000_000, pids_limit=PIDS,
        )  # fmt: skip
        engine_id = str(self._api.create_container(BOOKWORM, ["sleep", "infinity"], host_config=limits)["Id"])
        self._api.start(engine_id)
        run = time.perf_counter() - began
        if run_in(self._api, engine_id, ECHO).output != b"hello\n":
            raise RuntimeError("the raw engine's container printed something else")
        return engine_id, run, time.perf_counter() - began

    def remove(self, engine_id: str) -> float:
        """Seconds until it was gone."""
        began = time.perf_counter()
        self._api.remove_container(engine_id, force=True, v=True)
        return time.perf_counter() - began

    @contextmanager
    def typewriter(self, engine_id: str) -> Iterator[Callable[[str, str], None]]:
        """Types at `cat` on a terminal of the container, and returns when the second was printed."""
        made = self._api.exec_create(engine_id, ["cat"], tty=True, stdin=True)["Id"]
        stream = self._api.exec_start(made, tty=True, socket=True)

        def press(typed: str, awaited: str) -> None:
            stream._sock.sendall(typed.encode())
            printed = b""
            while awaited.encode() not in printed:
                printed += stream._sock.recv(4096)

        try:
            yield press
        finally:
            hang_up(stream)

    def live(self) -> RawLife:
        """One life from beginning to end."""
        engine_id, run, first_output = self.begin()
        return RawLife(run, first_output, self.remove(engine_id))
