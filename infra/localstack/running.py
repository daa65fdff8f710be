"""LocalStack, one way or the other: an engine and a wish come in, its container or else host mode goes out."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

from infra.ground.engine import Engine
from infra.ground.packages import Say
from infra.localstack.container import in_container
from infra.localstack.errors import CannotStart
from infra.localstack.hosted import on_the_host
from infra.localstack.server import Localstack


class Way(StrEnum):
    """Where it shall run; AUTO is its container where that can be had, and host mode elsewhere."""

    AUTO = "auto"
    CONTAINER = "container"
    HOST = "host"


VARIABLE = "BERTH_LOCALSTACK"


def wished() -> Way:
    """What the environment says. CannotStart when that is no way."""
    said = os.environ.get(VARIABLE, Way.AUTO)
    if said not in list(Way):
        raise CannotStart(f"{VARIABLE} is {said!r}, and can be {', '.join(Way)}")
    return Way(said)


@contextlib.contextmanager
def running_localstack(engine: Engine, data: Path, environment: Path, say: Say, way: Way) -> Iterator[Localstack]:
    """LocalStack inside the block, introduced; nothing of it remains. CannotStart with the reason."""
    with contextlib.ExitStack() as stack:
        localstack = _entered(stack, in_container(engine, data, say), on_the_host(data, environment, say), way, say)
        localstack.introduce(say)
        yield localstack


def _entered(
    stack: contextlib.ExitStack,
    container: AbstractContextManager[Localstack],
    host: AbstractContextManager[Localstack],
    way: Way,
    say: Say,
) -> Localstack:
    if way is not Way.HOST:
        try:
            return stack.enter_context(container)
        except CannotStart as error:
            if way is Way.CONTAINER:
                raise
            say(f"{error}: host mode from pip")
    return stack.enter_context(host)
