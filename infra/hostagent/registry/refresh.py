"""Tags that have moved: names of images that are used come in; newer ones come to the host, out of everybody's way.

What is used is what the host has: nobody waits for the question whether its registry has something newer, nor for that
to be pulled. Who comes next gets it. Only what is pinned is asked about: what came by another way is the operator's.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from infra.hostagent.ports import Engine, EngineError
from infra.hostagent.registry.errors import ImageFault, Unanswered
from infra.hostagent.registry.pins import local_name, pin_of
from infra.hostagent.registry.references import parse

log = logging.getLogger("berth.agent.refresh")

LATEST = "latest"
LATEST_SECONDS = 600.0
"""Between two questions about a tag that is made to move."""
RETRY_SECONDS = 600.0
"""Before a registry that did not answer is asked again."""
LONGEST_SECONDS = 1800.0
"""For one pull, which others that are due wait for."""

Latest = Callable[[str], str]
"""The digest that a reference means now. An ImageFault."""
Have = Callable[[str, Callable[[str], None]], Generator[dict[str, Any], None, None]]
"""Pull it: lines come out, and the name that the engine has for the pull goes to the function."""


class Refresh:
    """One question and one pull at a time, and only while nobody waits for a pull."""

    def __init__(
        self, engine: Engine, latest: Latest, have: Have, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._latest = latest
        self._have = have
        self._seconds = seconds
        self._now = now
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        """Monotonic time when to ask about a tag again, by its local name."""
        self._waiting: dict[str, None] = {}
        self._works = False
        self._pulls = 0
        self._address: str | None = None
        self._cut = threading.Event()

    def used(self, reference: str) -> None:
        """Ask about it some time soon if it is time. Never waits."""
        name = local_name(reference)
        if not self._seconds or parse(reference).digest is not None:
            return
        with self._changed:
            if self._now() < self._due.get(name, 0.0) or name in self._waiting:
                return
            self._waiting[name] = None
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, daemon=True, name="refresh").start()

    @property
    def busy(self) -> bool:
        """Whether there is something that is to be asked about."""
        return self._works

    def asked(self, reference: str) -> None:
        """Its registry has just said what it means."""
        if parse(reference).digest is not None:
            return
        with self._changed:
            self._due[local_name(reference)] = self._now() + self._between(reference)

    def make_way(self) -> None:
        """Somebody waits for a pull: what is under way here ends, and nothing begins until `way_is_free`."""
        with self._changed:
            self._pulls += 1
            self._cut.set()
            if self._address is not None:
                self._engine.give_up(self._address)

    def way_is_free(self) -> None:
        """That pull is over."""
        with self._changed:
            self._pulls -= 1
            self._changed.notify_all()

    def _between(self, reference: str) -> float:
        return min(self._seconds, LATEST_SECONDS) if parse(reference).tag == LATEST else self._seconds

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pulls == 0)
                if not self._waiting:
                    self._works = False
                    return
                name = next(iter(self._waiting))
                self._cut.clear()
            self._try(name)
            with self._changed:
                self._address = None
                del self._waiting[name]

    def _try(self, name: str) -> None:
        """Whatever goes wrong, what the host has is as good as before."""
        try:
            if self._refreshed(name):
                self.asked(name)
        except (ImageFault, EngineError) as error:
            if not self._cut.is_set():
                log.info("tag not refreshed", extra={"image": name, "reason": type(error).__name__})
                self._put_off(name)
        except Exception:
            log.exception("refresh broke", extra={"image": name})
            self._put_off(name)

    def _put_off(self, name: str) -> None:
        with self._changed:
            self._due[name] = self._now() + min(RETRY_SECONDS, self._between(name))

    def _refreshed(self, name: str) -> bool:
        """Whether it is what its registry says by now; not when others have to be let by first."""
        found = self._engine.image(name)
        if found is None or found.digest is None or self._engine.image(pin_of(found.digest, name)) is None:
            return True
        if self._latest(name) == found.digest:
            return True
        ends = self._now() + LONGEST_SECONDS
        with closing(self._have(name, self._begun)) as lines:
            for _ in lines:
                if self._cut.is_set():
                    return False
                if self._now() > ends:
                    raise Unanswered
        log.info("tag refreshed", extra={"image": name})
        return True

    def _begun(self, address: str) -> None:
        with self._changed:
            if self._cut.is_set():
                raise Unanswered  # somebody came while its manifest was read
            self._address = address
