"""Engines for hosts: how many hosts there are comes in, an engine for each goes out, with the base image on it."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.ground.engine import Engine, engine_at
from infra.ground.images import BaseImages
from infra.ground.packages import Say


@contextmanager
def engines_at(data: Path, hosts: int, cache: Path, say: Say, *, private: bool = False) -> Iterator[list[Engine]]:
    """One engine per host where they are ours to start; else the one that answers, for all hosts."""
    with ExitStack() as stack:
        engines = [stack.enter_context(engine_at(data / "engine", say, private=private))]
        if engines[0].owned:
            folders = [data / f"engine-{number}" for number in range(2, hosts + 1)]
            engines += [stack.enter_context(engine_at(folder, say, private=True)) for folder in folders]
        for engine in engines:
            with contextlib.closing(engine.client()) as client:
                BaseImages(client, cache, say).ensure_bookworm()
        yield engines
