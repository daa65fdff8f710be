"""One build per image, shared by all who wait for it: an order comes in, progress goes out until it is there.

Unlike a pull it goes on when nobody waits any more: the next who asks finds it done. A failure is told to those who
wait and forgotten: whoever asks next has it tried again.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.contract.statuses import PULLED
from infra.hostagent.containers.creation import Tell
from infra.hostagent.failures import StillPreparing
from infra.hostagent.images.building import Building
from infra.images.recipes import Recipe

log = logging.getLogger("berth.agent.builds")

TICK_SECONDS = 0.2


class Closing(Exception):
    """The agent ends; its next process builds again."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built: from this image, by this recipe, under this name."""

    base: str
    recipe: Recipe
    reference: str


@dataclass(slots=True)
class _Build:
    begun: int = 0
    steps: int = 1
    what: str = ""
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Builds:
    """Builds under way on this host, at most `parallel` at once."""

    def __init__(self, building: Building, parallel: int) -> None:
        self._building = building
        self._slots = threading.Semaphore(parallel)
        self._lock = threading.Lock()
        self._running: dict[str, _Build] = {}
        self._closed = threading.Event()

    def wait(self, order: Order, deadline: float, tell: Tell, check: Callable[[], None], since: int) -> None:
        """Have the image; `tell` hears of progress from `since` per cent on, `check` raises once nobody wants it.

        NotPrepared, UnknownDistribution, StillPreparing at the deadline (monotonic seconds), an EngineError.
        """
        build = self._join(order)
        told = ""
        while not build.done.wait(TICK_SECONDS):
            check()
            if build.what != told:
                told = build.what
                percent = since + (PULLED - 1 - since) * build.begun // build.steps
                tell(percent, f"preparing {order.recipe.title}: {told} ({build.begun + 1}/{build.steps})")
            if time.monotonic() > deadline:
                raise StillPreparing(order.recipe.title)
        check()
        if build.error is not None:
            raise build.error

    def close(self) -> None:
        """Begin nothing more; what is being built ends where it is."""
        self._closed.set()

    def _join(self, order: Order) -> _Build:
        with self._lock:
            build = self._running.get(order.reference)
            if build is None:
                build = self._running[order.reference] = _Build()
                threading.Thread(target=self._run, args=(order, build), daemon=True, name="build").start()
            return build

    def _run(self, order: Order, build: _Build) -> None:
        def told(begun: int, steps: int, what: str) -> None:
            build.begun, build.steps, build.what = begun, steps, what

        began = time.monotonic()
        try:
            with self._slots:
                self._building.build(order.base, order.reference, order.recipe, told, self._check)
            seconds = round(time.monotonic() - began, 1)
            log.info("image prepared", extra={"recipe": order.recipe.title, "seconds": seconds})
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            build.error = error
        finally:
            with self._lock:
                del self._running[order.reference]
            build.done.set()

    def _check(self) -> None:
        if self._closed.is_set():
            raise Closing
