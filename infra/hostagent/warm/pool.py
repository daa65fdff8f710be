"""Containers started ahead: what a creation asks for comes in, a container that runs already goes out, or nothing.

What has been asked for lately is kept ready within a budget of memory, made one at a time while nobody waits for a
creation. A claim is committed by one call of the engine, `rename`: until then the blank is nobody's, from then on it is
the container's, and whatever is lost on the way a creation finds it by its name as after any lost answer (M4). A blank
goes to one container ever. Nothing is written down: what a dead process had made is swept by the next.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.containers.files import Files
from infra.hostagent.containers.logins import let_in, prepared
from infra.hostagent.containers.starting import start
from infra.hostagent.failures import NotPrepared
from infra.hostagent.network.networks import Networks
from infra.hostagent.ports import Engine, EngineContainer, EngineError, EngineRefused, ImageMissing
from infra.hostagent.profile import Profile, engine_name, profile_of, sharing
from infra.hostagent.quotas.disk import Disk
from infra.hostagent.runtime import Runtime
from infra.hostagent.warm.blanks import Blank, Kind, kind_of, unlabelled
from infra.hostagent.warm.wishes import Wishes

log = logging.getLogger("berth.agent.pool")

BLANK_MB = 32
"""What a blank takes of the budget: its two processes, its holder's, and the engine's two for each, measured."""

STALE_SECONDS = 1800.0
"""A blank that has waited so long is made anew: nothing in it grows old with the host."""
QUIET_SECONDS = 1.0
"""Blanks are made only when nobody has asked for a container for so long."""
PATIENCE_SECONDS = 5.0
"""How long that is waited for before it is left to the next look."""
PAUSE_SECONDS = 0.1
YOUNG_SECONDS = 60.0
"""Made so shortly ago, a blank may be missing in a list of containers that was read before."""


IMAGES = ("alpine:latest", "archlinux:latest", "debian:bookworm", "ubuntu:24.04")
"""Those that Berth offers by name. What runs in a blank is on nobody's account: no image of strangers is among them."""


class Pool(Protocol):
    """Asked before a container is made; every call may be repeated."""

    def claim(self, spec: ContainerSpec, made_from: str, digest: str | None) -> str | None:
        """The engine id of a container that is this one from now on, running and ready for its people; or None.

        After None a container may be there nevertheless, under its name, as after a creation whose answer was lost.
        """

    def names(self) -> set[str]:
        """Engine names of the blanks that there are or will be in a moment."""

    def look(self, found: Sequence[EngineContainer]) -> None:
        """Have what is wanted and nothing else, given all containers of the host."""

    def close(self) -> None:
        """Begin nothing more."""


class NoPool:
    """`Pool` where every container is made when it is asked for."""

    def claim(self, spec: ContainerSpec, made_from: str, digest: str | None) -> str | None:  # noqa: ARG002
        return None

    def names(self) -> set[str]:
        return set()

    def look(self, found: Sequence[EngineContainer]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where blanks are made, and how much they may take."""

    host_id: str
    network: str
    cores: int
    budget_mb: int
    images: tuple[str, ...] = IMAGES
    """What blanks may be made of, by the references of creations."""
    popular: int = 2
    """Asked for so often within an hour, a kind is kept ready."""


class _NotNow(Exception):
    """A blank cannot be made at the moment."""


class WarmPool:
    """`Pool` of blanks on one engine; calls come from many threads."""

    def __init__(
        self, engine: Engine, files: Files, disk: Disk, networks: Networks, runtime: Runtime, place: PoolPlace
    ) -> None:
        self._engine = engine
        self._files = files
        self._disk = disk
        self._networks = networks
        self._runtime = runtime
        self._place = place
        self._wishes = Wishes(runtime, place.popular)
        self._lock = runtime.lock()
        self._closed = runtime.flag()
        self._ready: list[Blank] = []
        self._busy: set[str] = set()
        """Names of blanks that are being made or claimed."""
        self._left: dict[str, str | None] = {}
        """Holders, by the names of blanks that could not be removed yet."""
        self._filling = False

    def claim(self, spec: ContainerSpec, made_from: str, digest: str | None) -> str | None:
        kind = kind_of(spec, made_from, digest) if spec.image in self._place.images else None
        blank = self._taken(kind) if kind else None
        self._fill()
        if blank is None:
            return None
        try:
            self._hand_over(blank, spec)
        except EngineError as error:
            log.warning("claim failed", extra={"container": spec.container_id, "reason": type(error).__name__})
            self._later(lambda: self._give_up(blank, spec))
            return None
        finally:
            self._idle(blank.name)
        log.info("blank claimed", extra={"container": spec.container_id, "blank": blank.token})
        return blank.engine_id

    def _taken(self, kind: Kind) -> Blank | None:
        """A blank of that kind, which nobody else gets; the wish is remembered."""
        self._wishes.note(kind)
        with self._lock:
            blank = next((each for each in self._ready if each.kind == kind), None)
            if blank is not None:
                self._ready.remove(blank)
                self._busy.add(blank.name)
            return blank

    def _idle(self, name: str) -> None:
        with self._lock:
            self._busy.discard(name)

    def _hand_over(self, blank: Blank, spec: ContainerSpec) -> None:
        """Files first, which nobody sees; the name, which decides; then what follows from the name."""
        self._files.hand_over(blank.name, spec)
        self._engine.rename(blank.engine_id, engine_name(spec.container_id, spec.generation))
        self._networks.hand_over(blank.name, blank.engine_id, spec)

    def _give_up(self, blank: Blank, spec: ContainerSpec) -> None:
        """Have the blank removed, unless it has become the container: only its name says so."""
        try:
            self._engine.discard(blank.name)
            found = self._engine.find(engine_name(spec.container_id, spec.generation))
        except EngineError:
            return  # what is still a blank is unknown now, and swept
        if found is None or found.engine_id != blank.engine_id:
            self._forget(blank.name, blank.holder)

    def _forget(self, name: str, holder: str | None) -> None:
        self._networks.free(name, holder)
        self._files.remove(name)

    def names(self) -> set[str]:
        with self._lock:
            return {each.name for each in self._ready} | self._busy

    def look(self, found: Sequence[EngineContainer]) -> None:
        there = {engine_name(each.container_id, each.generation): each for each in found if each.unclaimed}
        wanted = self._wanted()
        with self._lock:
            kept = _within([each for each in self._ready if self._good(each, there.get(each.name))], wanted)
            gone = [each for each in self._ready if each not in kept]
            self._ready = kept
            known = {each.name for each in kept} | self._busy
            left, self._left = self._left, {}
        left |= {each.name: each.holder for each in gone}
        for name, holder in left.items():
            self._discard(name, holder)
        for name in sorted(there.keys() - known - left.keys()):
            self._sweep(name)
        self._fill()

    def _good(self, blank: Blank, found: EngineContainer | None) -> bool:
        age = self._runtime.monotonic() - blank.made_at
        return age < STALE_SECONDS and (found.running if found else age < YOUNG_SECONDS)

    def _sweep(self, name: str) -> bool:
        """Remove a blank, if the engine lets us; it may be a container by now: then its name is another.

        Of one that an earlier process has made, files and namespace go by themselves, once nobody has them.
        """
        try:
            self._engine.discard(name)
        except EngineError as error:
            log.warning("blank left to a later look", extra={"blank": name, "reason": type(error).__name__})
            return False
        return True

    def _wanted(self) -> Counter[Kind]:
        return self._wishes.wanted(self._place.budget_mb // BLANK_MB)

    def _discard(self, name: str, holder: str | None) -> None:
        """What cannot be removed now is tried again at the next look."""
        if self._sweep(name):
            self._forget(name, holder)
        else:
            with self._lock:
                self._left[name] = holder

    def close(self) -> None:
        with self._lock:
            self._closed.set()

    def _later(self, work: Callable[[], None]) -> None:
        """Have it done by another thread, unless this process is about to end."""
        with self._lock:
            if not self._closed.is_set():
                self._runtime.spawn(work)

    def _fill(self) -> None:
        """Make what lacks, by one thread at a time."""
        with self._lock:
            if self._filling or self._closed.is_set():
                return
            self._filling = True
        self._later(self._make_all)

    def _make_all(self) -> None:
        try:
            while (kind := self._lacking()) is not None and self._quiet():
                self._make(kind)
        except _NotNow:
            return
        except EngineError as error:
            log.warning("blank not made", extra={"reason": repr(error)[:300]})
        finally:
            with self._lock:
                self._filling = False

    def _lacking(self) -> Kind | None:
        wanted = self._wanted()
        with self._lock:
            have = Counter(each.kind for each in self._ready)
        return next((kind for kind, count in wanted.items() if have[kind] < count), None)

    def _quiet(self) -> bool:
        """Whether nobody has asked for a container for a while: wait for that, but not for long."""
        ends = self._runtime.monotonic() + PATIENCE_SECONDS
        while self._runtime.monotonic() < ends:
            if self._closed.is_set():
                return False
            if self._wishes.quiet_for() >= QUIET_SECONDS:
                return True
            self._closed.wait(PAUSE_SECONDS)
        return False

    def _make(self, kind: Kind) -> None:
        token = self._runtime.token()
        spec = kind.spec(token)
        name = engine_name(spec.container_id, spec.generation)
        with self._lock:
            self._busy.add(name)
        holder = None
        try:
            holder = self._networks.take(spec)
            if holder is None:
                raise _NotNow
            blank = Blank(kind, token, self._started(kind, spec, holder), holder, self._runtime.monotonic())
            with self._lock:
                self._ready.append(blank)
            log.info("blank ready", extra={"blank": token, "engine_id": blank.engine_id, "image": kind.image})
        except (NotPrepared, EngineRefused, ImageMissing) as error:
            log.warning("no blanks of this kind", extra={"image": kind.image, "reason": repr(error)[:300]})
            self._discard(name, holder)
            self._wishes.forget(kind)
        except Exception:
            self._discard(name, holder)
            raise
        finally:
            self._idle(name)

    def _started(self, kind: Kind, spec: ContainerSpec, holder: str) -> str:
        engine_id = self._engine.create(self._disk.told(self._profile(kind, spec, holder), kind.resources.disk_mb))
        start(self._engine, self._disk, self._networks, engine_id, spec)
        made = prepared(kind.made_from)
        let_in(self._engine, engine_id, kind.role, enhanced=kind.shell.enhanced, prepared=made)
        return engine_id

    def _profile(self, kind: Kind, spec: ContainerSpec, holder: str) -> Profile:
        place = self._place
        bound = self._files.write(spec)
        profile = profile_of(spec, place.host_id, place.network, place.cores, bound, kind.made_from)
        return sharing(unlabelled(profile, place.host_id), holder)


def _within(blanks: list[Blank], wanted: Counter[Kind]) -> list[Blank]:
    """No more of each kind than wanted; the youngest stay."""
    left, kept = Counter(wanted), []
    for blank in sorted(blanks, key=lambda each: -each.made_at):
        if left[blank.kind] > 0:
            left[blank.kind] -= 1
            kept.append(blank)
    return kept
