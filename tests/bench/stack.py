"""The stack under test, in a process of its own: settings come in, its addresses go out, and it answers questions.

The clients that measure are in another process, so that neither waits for the other's interpreter.
"""

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.bench.relay import Relay

PLENTY = {
    "BERTH_CREATES_PER_SECOND": "10000",
    "BERTH_CREATES_PER_MINUTE": "10000",
    "BERTH_REQUESTS_PER_MINUTE": "1000000",
    "BERTH_CONNECTIONS_PER_USER": "2000",
    "BERTH_FRAMES_PER_SECOND": "10000",
}
"""Rates that no benchmark meets."""


@dataclass(slots=True)
class Stack:
    """A running stack as its clients see it."""

    url: str
    socket_url: str
    _pipe: Connection = field(repr=False)

    def ask(self, question: str, *more: Any) -> Any:
        """`user` (a token of that tier), `pids` of its processes, or `calls` of its agent to the engine."""
        self._pipe.send((question, *more))
        return self._pipe.recv()


@contextmanager
def stack(engine: Engine, data: Path, *options: str, noted: bool = False) -> Iterator[Stack]:
    """A stack of one host whose agent has these options; `noted`: its calls to the engine are kept."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(engine, data, options, noted, theirs), daemon=False)
    process.start()
    try:
        url, socket_url = ours.recv()
        yield Stack(url, socket_url, ours)
        ours.send(("stop",))
    finally:
        ours.close()
        process.join(60)
        if process.is_alive():
            process.terminate()


def _serve(engine: Engine, data: Path, options: tuple[str, ...], noted: bool, pipe: Connection) -> None:
    data.mkdir(parents=True, exist_ok=True)
    relay = Relay(data / "engine.sock", engine.url)
    if noted:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(relay.start(), loop).result()
    seen = replace(engine, url=f"unix://{relay.path}") if noted else engine
    settings = BerthSettings(data=data, environment=PLENTY, agent_options=options)
    with running_berth(settings, seen) as berth:
        pipe.send((berth.url, berth.socket_url))
        _answer(berth, relay, pipe)


def _answer(berth: Berth, relay: Relay, pipe: Connection) -> None:
    answers = {
        "user": lambda tier: berth.new_user(tier)["token"],
        "pids": lambda: berth.cloud.pids() | {"agent": [host.pid for host in berth.hosts.values()]},
        "calls": lambda: list(relay.calls),
    }
    while True:
        try:
            question, *more = pipe.recv()
        except EOFError:
            return
        if question == "stop":
            return
        pipe.send(answers[question](*more))
