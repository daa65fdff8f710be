"""One command run inside a container of Docker's: it comes in with a deadline, exit code and last words go out.

It has a terminal, as a person would; a command that does not end in time is left to end with its container.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from infra.hostagent.engine.docker_exec import chunks, hang_up
from infra.hostagent.ports import EngineDown, Ran

LAST_BYTES = 4096


def run_inside(
    api: Any, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
) -> Ran:
    """Run it to its end; EngineDown when it has not ended in time, or the engine's own errors."""
    ends = time.monotonic() + seconds
    created = api.exec_create(engine_id, list(command), user=user, environment=dict(environment), tty=True)
    stream = api.exec_start(created["Id"], tty=True, socket=True)
    try:
        output = _last_words(stream, ends)
    finally:
        hang_up(stream)
    found = api.exec_inspect(created["Id"])
    while found["Running"] and time.monotonic() < ends:
        time.sleep(0.01)
        found = api.exec_inspect(created["Id"])
    if found["ExitCode"] is None:
        raise EngineDown("the command has not ended")
    return Ran(int(found["ExitCode"]), output.decode(errors="replace"))


def _last_words(stream: Any, ends: float) -> bytes:
    """The end of what it prints, once it has closed its output."""
    output = b""
    try:
        for chunk in chunks(stream, ends):
            output = (output + chunk)[-LAST_BYTES:]
    except TimeoutError:
        raise EngineDown("the command takes too long") from None
    return output
