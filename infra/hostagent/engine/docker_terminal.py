"""Terminals by the engine: a prepared command and a size come in, the connection to its terminal goes out."""

import secrets
import string
import time
from typing import Any

from docker.errors import APIError

from infra.hostagent.engine.docker_exec import hang_up, read_ahead
from infra.hostagent.ports import Size, Tty

_STARTING_SECONDS = 2.0
"""An engine answers before the program runs, and refuses to size a terminal that nothing runs on yet."""
_PAUSE_SECONDS = 0.01


def detach_keys() -> str:
    """What nobody will type: by these an engine lets go of a terminal; it takes `ctrl-p,ctrl-q` if not given others.

    It holds back the first of them until it knows the next: that is a key which hardly any program has a use for.
    """
    return ",".join(["ctrl-^", *(secrets.choice(string.ascii_lowercase) for _ in range(20))])


def attached(api: Any, exec_id: str, size: Size) -> Tty:
    """The terminal of a command that this begins; a program that has ended at once leaves its last words on it."""
    stream = api.exec_start(exec_id, tty=True, socket=True)
    try:
        tty = Tty(stream._sock, read_ahead(stream), lambda: _let_go(stream))
        _size_at_first(api, exec_id, size)
    except BaseException:
        _let_go(stream)
        raise
    return tty


def _let_go(stream: Any) -> None:
    """At once: whatever of the SDK still holds the connection is collected some day."""
    connection = stream._sock
    hang_up(stream)
    connection.close()


def resized(api: Any, exec_id: str, size: Size) -> None:
    """Give its terminal this size."""
    api.exec_resize(exec_id, height=size.rows, width=size.cols)


def _size_at_first(api: Any, exec_id: str, size: Size) -> None:
    ends = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            return resized(api, exec_id, size)
        except APIError:
            over = api.exec_inspect(exec_id)["ExitCode"] is not None
            if over or time.monotonic() > ends:
                return None
        time.sleep(_PAUSE_SECONDS)
