"""One command run inside a container of Docker's: it comes in with a deadline, exit code and last words go out.

It has a terminal, as a person would; a command that does not end in time is left to end with its container.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from infra.hostagent.engine.docker_exec import hang_up, read_ahead
from infra.hostagent.ports import EngineDown, Ran

LAST_BYTES = 4096
_CHUNK = 65536


def run_inside(
    api: Any, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
) -> Ran:
    """Run it to its end; EngineDown when it has not ended in time, or the engine's own errors."""
    ends = time.monotonic() + seconds
    created = api.exec_create(engine_id, list(command), user=user, environment=dict(environment), tty=True)
    stream = api.exec_start(created["Id"], tty=True, socket=True)
    try:
        stream._sock.setblocking(False)
        output = _read(stream._sock, ends, read_ahead(stream))
    finally:
        hang_up(stream)
    found = api.exec_inspect(created["Id"])
    while found["Running"] and time.monotonic() < ends:
        time.sleep(0.01)
        found = api.exec_inspect(created["Id"])
    if found["ExitCode"] is None:
        raise EngineDown("the command has not ended")
    return Ran(int(found["ExitCode"]), output.decode(errors="replace"))


def _read(connection: Any, ends: float, output: bytes) -> bytes:
    """Its last words after what came already, once it has closed its output."""
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            raise EngineDown("the command takes too long")
        connection.settimeout(left)
        try:
            chunk = connection.recv(_CHUNK)
        except TimeoutError:
            raise EngineDown("the command takes too long") from None
        if not chunk:
            return output
        output = (output + chunk)[-LAST_BYTES:]
