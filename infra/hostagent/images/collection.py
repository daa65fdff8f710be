"""Images that nobody needs: what the engine holds comes in; on a full disk those longest out of use go.

As an orchestrator's node does it: from `HIGH` of the disk on, until `LOW` is reached, and nothing that a container was
made from, running or not, nor what such an image is built on. What was not brought by us is the operator's and stays.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from infra.hostagent.containers.logins import prepared
from infra.hostagent.ports import EngineError, EngineRefused
from infra.hostagent.registry.pins import is_pin, pins_of
from infra.hostagent.runtime import Runtime

log = logging.getLogger("berth.agent.images")

HIGH, LOW = 0.85, 0.80
"""Shares of the engine's disk."""
IDLE_SECONDS = 900.0
"""A creation that has found its image has made its container by then, whatever it waited for."""


@dataclass(frozen=True, slots=True)
class HeldImage:
    """One image of the engine, with all its names."""

    id: str
    parent: str
    """The image it is built on, by its id; empty for none."""
    names: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """Whether every name is of our giving: pins, what is prepared here, and tags that a pin goes with."""
        given = [name for name in self.names if is_pin(name) or prepared(name)]
        tags = [name for name in self.names if name not in given]
        return bool(given) and all(pins_of(name, given) for name in tags)


class Shelf(Protocol):
    """The engine's images. Every call may raise EngineDown."""

    def held(self) -> list[HeldImage]:
        """All that have a name, and all that those are built on."""

    def in_use(self) -> set[str]:
        """Ids of images that there are containers of."""

    def remove(self, name: str) -> None:
        """Take the name; the image goes with its last one. EngineRefused when a container needs it."""


class Collection:
    """Keeps the engine's disk from filling with images. `disk_share` says how full it is, from 0 to 1."""

    def __init__(self, shelf: Shelf, runtime: Runtime, disk_share: Callable[[], float]) -> None:
        self._shelf = shelf
        self._runtime = runtime
        self._share = disk_share
        self._lock = runtime.lock()
        self._used: dict[str, float] = {}
        """Monotonic time when an image was last used, or first seen, by its id or a name."""

    def used(self, image: str) -> None:
        """A container is about to be made from it."""
        with self._lock:
            self._used[image] = self._runtime.monotonic()

    def collect(self) -> None:
        """Remove what has to go, if anything has."""
        try:
            held = self._shelf.held()
            self._see(held)
            if self._share() >= HIGH:
                self._remove(held)
        except EngineError as error:
            log.warning("images cannot be looked at", extra={"reason": type(error).__name__})

    def _see(self, held: list[HeldImage]) -> None:
        """What is new counts as used now; what is gone is forgotten."""
        now = self._runtime.monotonic()
        there = {word for image in held for word in (image.id, *image.names)}
        with self._lock:
            self._used = {word: at for word, at in self._used.items() if word in there}
            for image in held:
                self._used.setdefault(image.id, now)

    def _remove(self, held: list[HeldImage]) -> None:
        needed = _with_ancestors(self._shelf.in_use(), held)
        idle = [image for image in held if image.ours and image.id not in needed and self._idle(image)]
        for image in sorted(idle, key=self._last_used):
            if self._share() < LOW:
                return
            try:
                self._take(image)
            except EngineRefused as error:
                log.warning("image stays", extra={"image": image.names[0], "reason": type(error).__name__})
        if self._share() >= HIGH:
            log.warning("the disk stays full: there is no image to remove", extra={"images": len(held)})

    def _take(self, image: HeldImage) -> None:
        """Its tags first: the pin says until the end what it is."""
        for name in sorted(image.names, key=is_pin):
            if not self._idle(image):
                return
            self._shelf.remove(name)
        log.info("image removed: the disk is full", extra={"image": image.names[0]})

    def _idle(self, image: HeldImage) -> bool:
        return self._runtime.monotonic() - self._last_used(image) >= IDLE_SECONDS

    def _last_used(self, image: HeldImage) -> float:
        with self._lock:
            return max(self._used[word] for word in (image.id, *image.names) if word in self._used)


def _with_ancestors(ids: Iterable[str], held: list[HeldImage]) -> set[str]:
    parents = {image.id: image.parent for image in held}
    found: set[str] = set()
    for each in ids:
        while each and each not in found:
            found.add(each)
            each = parents.get(each, "")
    return found
