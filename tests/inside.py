"""Commands that tests run inside a container past the agent: what to run comes in, code and output go out.

The SDK's own `exec_run` now and then loses what a command printed: all that comes with the head of the engine's answer
(ADR 0033).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infra.hostagent.engine.docker_exec import chunks, follow, hang_up
from tests.pace import SLOWNESS

SECONDS = 300.0 * SLOWNESS


class Done(NamedTuple):
    """How a command ended."""

    exit_code: int
    """0 too where the engine does not know, since the container ended with it."""
    output: bytes
    """Both outputs in one."""


def run_in(
    api: Any,
    engine_id: str,
    command: Sequence[str],
    user: str = "",
    environment: Mapping[str, str] | None = None,
    *,
    tty: bool = False,
) -> Done:
    """Run it to its end; AssertionError when it has none in time."""
    made = api.exec_create(engine_id, list(command), user=user, environment=dict(environment or {}), tty=tty)["Id"]
    ends = time.monotonic() + SECONDS
    stream, said = api.exec_start(made, tty=tty, socket=True), bytearray()
    try:
        if tty:
            for chunk in chunks(stream, ends):
                said += chunk
        else:
            assert follow(stream, lambda _, piece: said.extend(piece), lambda: time.monotonic() > ends), command
    finally:
        hang_up(stream)
    while (found := api.exec_inspect(made))["Running"]:
        assert time.monotonic() < ends, command
        time.sleep(0.005)
    return Done(int(found["ExitCode"] or 0), bytes(said))
