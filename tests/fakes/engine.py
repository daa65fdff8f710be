"""An engine in memory, held to the same contract tests as Docker; faults are ordered by name of the call."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from infra.hostagent.ports import (
    EngineContainer,
    EngineDown,
    EngineFacts,
    EngineRefused,
    EngineSignal,
    ImageMissing,
    NameInUse,
    NotThere,
)
from infra.hostagent.profile import LABEL_CONTAINER, LABEL_GENERATION, LABEL_HOST, LABEL_USER, Limits, Profile


@dataclass
class FakeEngine:
    """`present` images are on the host, `remote` ones can be pulled; `down` makes every call fail."""

    present: set[str] = field(default_factory=set)
    remote: set[str] = field(default_factory=set)
    down: bool = False
    rows: dict[str, tuple[Profile, EngineContainer]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    lose_answer_of: set[str] = field(default_factory=set)
    """Calls that are done, but whose answer is lost, once each."""
    used: dict[str, int] = field(default_factory=dict)
    """Bytes of memory that a container uses and will not give back."""
    limits: dict[str, Limits] = field(default_factory=dict)
    networks: set[str] = field(default_factory=set)
    now: Callable[[], float] = time.time
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise EngineDown(name)

    def _answered(self, name: str) -> None:
        if name in self.lose_answer_of:
            self.lose_answer_of.discard(name)
            raise EngineDown(f"the answer of {name} was lost")

    def facts(self) -> EngineFacts:
        self._called("facts")
        return EngineFacts("29.5.1", "6.1", 2, 16_000, "/")

    def images(self) -> list[str]:
        self._called("images")
        return sorted(self.present)

    def has_image(self, reference: str) -> bool:
        self._called("has_image")
        return reference in self.present

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        self._called("pull")
        if reference not in self.remote:
            raise EngineRefused(f"manifest for {reference} not found: manifest unknown")
        for current in (0, 50, 100):
            detail = {"current": current, "total": 100}
            yield {"id": "layer", "status": "Downloading", "progressDetail": detail}
        self.present.add(reference)
        yield {"status": "Status: Downloaded newer image"}

    def give_up(self, reference: str) -> None:
        self.calls.append(f"give_up {reference}")

    def create(self, profile: Profile) -> str:
        self._called("create")
        with self._lock:
            if profile.container["image"] not in self.present:
                raise ImageMissing(profile.container["image"])
            if any(known.name == profile.name for known, _ in self.rows.values()):
                raise NameInUse(profile.name)
            labels = profile.container["labels"]
            engine_id = f"{next(self._ids):064x}"
            container = EngineContainer(
                engine_id=engine_id,
                container_id=labels[LABEL_CONTAINER],
                generation=int(labels[LABEL_GENERATION]),
                running=False,
                exit_code=0,
                created_at=self.now(),
                user_id=labels[LABEL_USER],
                ever_ran=False,
            )
            self.rows[engine_id] = (profile, container)
            self.limits[engine_id] = Limits(profile.host_config["mem_limit"], profile.host_config["nano_cpus"])
        self._answered("create")
        return engine_id

    def _row(self, engine_id: str) -> tuple[Profile, EngineContainer]:
        if engine_id not in self.rows:
            raise NotThere(engine_id)
        return self.rows[engine_id]

    def start(self, engine_id: str) -> None:
        self._called("start")
        with self._lock:
            profile, container = self._row(engine_id)
            self.rows[engine_id] = (profile, replace(container, running=True, ever_ran=True))
        self._answered("start")

    def stop(self, engine_id: str, seconds: int) -> None:
        self._called("stop")
        self.die(engine_id, 143)
        self._answered("stop")

    def die(self, engine_id: str, exit_code: int) -> None:
        """Its main process ends."""
        with self._lock:
            profile, container = self._row(engine_id)
            self.rows[engine_id] = (profile, replace(container, running=False, exit_code=exit_code))

    def resize(self, engine_id: str, limits: Limits) -> None:
        self._called("resize")
        with self._lock:
            if self._row(engine_id)[1].running and self.used.get(engine_id, 0) > limits.memory:
                raise EngineRefused("device or resource busy")
            self.limits[engine_id] = limits
        self._answered("resize")

    def answers(self, engine_id: str) -> bool:
        self._called("answers")
        return self._row(engine_id)[1].running

    def find(self, name: str) -> EngineContainer | None:
        self._called("find")
        return next((container for profile, container in self.rows.values() if profile.name == name), None)

    def of_host(self, host_id: str) -> list[EngineContainer]:
        self._called("of_host")
        with self._lock:
            return [c for profile, c in self.rows.values() if profile.container["labels"][LABEL_HOST] == host_id]

    def remove(self, engine_id: str) -> None:
        self._called("remove")
        with self._lock:
            self.rows.pop(engine_id, None)
        self._answered("remove")

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        self._called("signals")
        return iter(())

    def ensure_network(self, name: str, bridge: str) -> bool:
        self._called("ensure_network")
        made = name not in self.networks
        self.networks.add(name)
        return made

    def drop_network(self, name: str) -> None:
        self._called("drop_network")
        self.networks.discard(name)
