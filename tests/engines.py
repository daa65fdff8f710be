"""Engines for suites that need one: the private engine of the test data folder, or the one that answers."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.ground.engine import Engine, engine_at
from infra.ground.images import BaseImages

CACHE = Path(".berth/cache")
DATA = Path(".berth/test")
CHOICE = "BERTH_TEST_ENGINE"
"""`answering`: the machine's own engine, on which everything may be done, though the tests run as root."""


def say(line: str) -> None:
    """Pytest shows it with `-s`."""
    sys.stderr.write(f"==> {line}\n")


@contextlib.contextmanager
def engine_for_tests() -> Iterator[Engine]:
    """As root a private engine with its own data, so that nobody's containers are touched."""
    private = os.geteuid() == 0 and os.environ.get(CHOICE) != "answering"
    with engine_at(DATA / "engine", say, private=private) as engine:
        with contextlib.closing(engine.client()) as client:
            images = BaseImages(client, CACHE, say)
            images.ensure_bookworm()
            images.ensure_tiny()
        yield engine
