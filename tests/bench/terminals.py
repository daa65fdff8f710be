"""Terminals: a stack and the raw engine under it come in, seconds to a first prompt and from key to echo go out."""

import random
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from websockets.sync.client import connect

from tests.bench.lives import PATIENCE_SECONDS, client
from tests.bench.measures import Measure
from tests.bench.raw import RawEngine
from tests.bench.series import median
from tests.bench.stack import Stack
from tests.docker.terminals import Terminal

KEYS = string.ascii_lowercase
"""Typed one after the other in each round, of which the median counts."""
PAUSE_SECONDS = 0.02
"""Between two keys: nobody types faster. What is printed sooner after a frame waits for more (`GATHER_SECONDS`)."""
MARK = "berth-types"

Press = Callable[[str, str], None]
"""Type the first, and return when the terminal has printed the second."""


def measure(stack: Stack, raw: RawEngine, rounds: int, tick: Callable[[], None]) -> list[Measure]:
    """By a terminal of the relay and by the engine's own, on which the kernel echoes what is typed at `cat`."""
    with client(stack) as user:
        life, (engine_id, *_) = user.begin(), raw.begin()
        token = {"Authorization": user.http.headers["Authorization"]}
        address = f"ws://{urlsplit(stack.url).netloc}/ws/terminal/{life.id}?newSession=true"
        prompts, ours, theirs = [], [], []
        with _opened(address, token) as (shell, _), raw.typewriter(engine_id) as press:
            _press(shell, f"stty sane; echo {MARK[:3]}''{MARK[3:]}; exec cat\n", f"{MARK}\r\n")
            turns: list[tuple[list[float], Press]] = [(ours, lambda *each: _press(shell, *each)), (theirs, press)]
            for _ in range(rounds):
                for samples, each in random.sample(turns, 2):
                    samples.append(median([_timed(each, key) for key in KEYS]))
                    each("\n", f"{KEYS}\r\n")  # what `cat` says once a line is whole
                with _opened(address, token) as (_, seconds):
                    prompts.append(seconds)
                tick()
        user.end(life)
        raw.remove(engine_id)
    return [
        Measure("socket opened → prompt", "s", prompts),
        Measure("key → echo", "s", ours, theirs, note="a terminal of the engine's API"),
    ]


def _timed(press: Press, key: str) -> float:
    time.sleep(PAUSE_SECONDS)
    began = time.perf_counter()
    press(key, key)
    return time.perf_counter() - began


@contextmanager
def _opened(address: str, token: dict[str, str]) -> Iterator[tuple[Terminal, float]]:
    """A terminal with a shell of its own, and the seconds until that printed something."""
    began = time.perf_counter()
    with connect(address, additional_headers=token, proxy=None, compression=None) as socket:
        shell = Terminal(socket)
        shell.until_printed(PATIENCE_SECONDS)
        yield shell, time.perf_counter() - began


def _press(shell: Terminal, typed: str, printed: str) -> None:
    shell.type(typed)
    shell.read(printed, PATIENCE_SECONDS)
