"""One container made: an intent comes in, the engine is driven step by step, numbered events go to the journal."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.events import Claimed, Created, Failed, Passed, Progress, Ready, Started, Stopped
from chalicelib.contract.resources import NetworkMode
from chalicelib.contract.statuses import PROGRESS, PULLED, Stage
from infra.hostagent.containers.logins import let_in, prepared
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.starting import start
from infra.hostagent.failures import TimedOut, cause_of, exited, reason_of
from infra.hostagent.journal.intents import CREATING, SETTLED, Intent, Step
from infra.hostagent.journal.journal import Telling
from infra.hostagent.journal.tellings import moment, telling
from infra.hostagent.network.holding import Holding
from infra.hostagent.ports import EngineContainer, EngineDown, EngineError, EngineRefused, NameInUse
from infra.hostagent.profile import engine_name, profile_of, resolved_by, sharing
from infra.hostagent.registry.references import parse
from infra.hostagent.runtime import Flag, Runtime

log = logging.getLogger("berth.agent.creation")

RETRY_SECONDS = 0.5

Answer = TypeVar("Answer")


class Superseded(Exception):
    """The intent has moved on (deleted, or of another generation), or is left to the agent's next process.

    Nothing more is to be done or told.
    """


@dataclass(frozen=True, slots=True)
class Place:
    """Where containers are made: this host, its network and its cores."""

    host_id: str
    network: str
    cores: int
    engine_patience_seconds: float
    """How long a creation waits for an engine that does not answer before it fails."""
    held_network: str | None = None
    """The network of containers that are held to names; None where nobody can be: those get no network."""
    resolver: str | None = None
    """Where the engine's own resolver asks on behalf of containers; None = wherever the engine does."""

    def network_of(self, spec: ContainerSpec) -> str | None:
        """The network that this container joins, if any."""
        return {NetworkMode.DEFAULT: self.network, NetworkMode.RESTRICTED: self.held_network}.get(spec.network_mode)


Tell = Callable[[int, str], None]
"""Hears each new percentage of the stage `pulling`, and what is being done in words for the user."""


class Images(Protocol):
    """Where images come from: `pulls.Pulls`, one round another, or what a simulation says."""

    def find(self, spec: ContainerSpec) -> str | None:
        """The image that this container is made from, if the host has it. EngineDown."""

    def wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        """Have it on the host, and say which it is. `check` raises once the container is no longer wanted.

        PullTimedOut, TimedOut at the deadline (monotonic seconds), an EngineError, or what `check` raises.
        """


class Creation:
    """Drives intents from `accepted` to `ready` or `failed`; safe to run again from any step."""

    def __init__(self, means: Means, images: Images, place: Place) -> None:
        self._engine = means.engine
        self._journal = means.journal
        self._runtime = means.runtime
        self._told = means.told
        self._files = means.files
        self._networks = means.networks
        self._disk = means.disk
        self._holding = Holding(means)
        self._pool = means.pool
        self._images = images
        self._place = place
        self.cores = place.cores
        self._starts = means.runtime.semaphore(max(2, place.cores))
        self.closing = means.runtime.flag()
        """Once set, creations end where they are, for the next process to take up."""

    def run(self, intent: Intent) -> None:
        """Make the container, or record why not. EngineDown only when even the cleaning up failed."""
        spec = intent.spec
        if spec is None:
            return
        stage = _Stage()
        try:
            self._make(intent, spec, stage)
        except Superseded:
            log.info("creation ends early", extra={"container": intent.container_id})
        except Exception as error:  # noqa: BLE001 - every failure of a creation is told, whatever it is
            self._fail(intent, spec, error, pulling=stage.pulling)

    def _make(self, intent: Intent, spec: ContainerSpec, stage: "_Stage") -> None:
        patience = _Patience(intent, self._place.engine_patience_seconds, self._runtime, self.closing)
        if intent.step is Step.ACCEPTED and spec.number:
            intent = self._taken_over(intent, spec)
        if intent.step in SETTLED:
            return
        if intent.step is Step.ACCEPTED:
            stage.pulling = True
            intent = self._have_image(intent, spec, patience)
            stage.pulling = False
            if self._claim(intent, spec):
                return
            intent = self._create(intent, spec, patience)
        if intent.step is Step.CREATED:
            intent = self._start(intent, spec, patience)
        self._configure(intent, spec, patience)

    def _taken_over(self, intent: Intent, spec: ContainerSpec) -> Intent:
        """The intent of a container that this host has made and forgotten (M9), as far as the container is.

        An engine that cannot say is no reason to fail here, since what fails is removed: the next look comes back.
        """
        try:
            found = self._engine.find(engine_name(spec.container_id, spec.generation))
        except EngineError:
            raise Superseded from None
        if found is None or found.going:
            return intent
        if found.blank:
            self._files.hand_over(found.blank, spec)
        log.info("container taken over", extra={"container": intent.container_id, "number": spec.number})
        step, tellings = self._as_found(intent, found)
        taken = replace(intent, step=step, engine_id=found.engine_id)
        return self._tell(taken, *tellings, expected=(Step.ACCEPTED,))

    def _as_found(self, intent: Intent, found: EngineContainer) -> tuple[Step, list[Telling]]:
        """What is told holds whatever the control plane had been told before; it keeps what is new to it."""
        now = self._runtime.time()
        if found.running:
            ready = telling(Ready, intent, now, engine_id=found.engine_id, started_at=moment(now))
            return Step.READY, [ready, telling(Started, intent, now, started_at=moment(now))]
        if found.ever_ran:
            return Step.STOPPED, [telling(Stopped, intent, now, cause=exited(found.exit_code))]
        created = telling(Created, intent, now, engine_id=found.engine_id)
        return Step.CREATED, [created, self._begun(intent, Stage.STARTING)]

    def _have_image(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> Intent:
        """The intent with the image that the container is made from, on the host by now; chosen once."""
        if intent.image is not None and patience.ask(lambda: self._engine.image(str(intent.image))) is not None:
            return intent
        name = parse(spec.image).full_name
        found = patience.ask(lambda: self._engine.image(name))
        image = patience.ask(lambda: self._images.find(spec))
        if image is None:
            deadline = self._runtime.monotonic() + patience.left()
            self._tell(intent, self._progress(intent, Stage.PULLING, PROGRESS[Stage.PULLING], f"pulling {spec.image}"))
            image = self._images.wait(spec, deadline, partial(self._pulling, intent), lambda: self._check(intent))
        if found is None:  # otherwise what was there before: preparing takes minutes, in which a tag may move
            found = patience.ask(lambda: self._engine.image(name))
        return replace(intent, image=image, image_digest=found.digest if found else None)

    def _pulling(self, intent: Intent, percent: int, message: str) -> None:
        if percent > PROGRESS[Stage.PULLING]:
            self._tell(intent, self._progress(intent, Stage.PULLING, percent, message))

    def _check(self, intent: Intent) -> None:
        """Superseded when the container is no longer wanted."""
        found = None if self.closing.is_set() else self._journal.get(intent.container_id)
        if found is None or found.generation != intent.generation or found.step not in CREATING:
            raise Superseded

    def _claim(self, intent: Intent, spec: ContainerSpec) -> bool:
        """Whether a container made ahead has become this one: ready at once, and all of it told in one write."""
        engine_id = self._pool.claim(spec, str(intent.image), intent.image_digest)
        if engine_id is None:
            return False
        now = self._runtime.time()
        claimed = telling(
            Claimed,
            intent,
            now,
            engine_id=engine_id,
            image_digest=intent.image_digest,
            started_at=moment(now),
            passed=self._passed(),
        )
        self._tell(replace(intent, step=Step.READY, engine_id=engine_id), claimed, expected=(Step.ACCEPTED,))
        log.info("container ready", extra={"container": intent.container_id})
        return True

    def _passed(self) -> list[Passed]:
        """The stages of a creation, as they are told of one that goes through them."""
        told = [
            (Stage.PULLING, PULLED, _HAVE_IMAGE),
            (Stage.CREATING, PROGRESS[Stage.CREATING], self._creating()),
            (Stage.STARTING, PROGRESS[Stage.STARTING], _beginning(Stage.STARTING)),
            (Stage.CONFIGURING, PROGRESS[Stage.CONFIGURING], _beginning(Stage.CONFIGURING)),
        ]
        return [Passed(stage=stage, progress=progress, message=message) for stage, progress, message in told]

    def _create(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> Intent:
        begun = self._progress(intent, Stage.CREATING, PROGRESS[Stage.CREATING], self._creating())
        self._tell(intent, self._progress(intent, Stage.PULLING, PULLED, _HAVE_IMAGE), begun)
        engine_id = patience.ask(lambda: self._created(spec, intent.image))
        created = replace(intent, step=Step.CREATED, engine_id=engine_id)
        return self._tell(
            created,
            telling(Created, intent, self._runtime.time(), engine_id=engine_id, image_digest=intent.image_digest),
            self._begun(intent, Stage.STARTING),
            expected=(Step.ACCEPTED,),
        )

    def _creating(self) -> str:
        """In words for the user, who is to know what is not promised."""
        return "creating the container" + ("" if self._disk.enforced else "; this host does not limit its disk")

    def _created(self, spec: ContainerSpec, image: str | None) -> str:
        """The engine id; a container of our name that is there already is ours from an earlier try (M4)."""
        place = self._place
        network = place.network_of(spec)
        profile = profile_of(spec, place.host_id, network, place.cores, self._files.write(spec), image)
        try:
            shared = resolved_by(sharing(profile, self._networks.take(spec)), place.resolver)
            return self._engine.create(self._disk.told(shared, spec.resources.disk_mb))
        except NameInUse:
            found = self._engine.find(engine_name(spec.container_id, spec.generation))
            if found is None:
                raise EngineRefused("the name is taken by a container that is not ours") from None
            self._networks.found(profile.name, found.holder)
            return found.engine_id

    def _start(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> Intent:
        with self._starts:
            patience.ask(partial(start, self._engine, self._disk, self._networks, str(intent.engine_id), spec))
            patience.ask(lambda: self._holding.admit(spec))
        started = replace(intent, step=Step.STARTED)
        return self._tell(started, self._begun(intent, Stage.CONFIGURING), expected=(Step.CREATED,))

    def _configure(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> None:
        patience.ask(lambda: self._let_in(intent, spec))
        now = self._runtime.time()
        ready = telling(Ready, intent, now, engine_id=intent.engine_id, started_at=moment(now))
        self._tell(replace(intent, step=Step.READY), ready, expected=(Step.STARTED,))
        log.info("container ready", extra={"container": intent.container_id})

    def _let_in(self, intent: Intent, spec: ContainerSpec) -> None:
        """People can log in, and find what they asked for."""
        made = prepared(intent.image)
        let_in(self._engine, str(intent.engine_id), spec.role, enhanced=spec.shell.enhanced, prepared=made)

    def _fail(self, intent: Intent, spec: ContainerSpec, error: Exception, *, pulling: bool) -> None:
        """Remove what there is, then say why: a failed creation leaves nothing behind."""
        cause = cause_of(error, spec.image, pulling=pulling)
        log.warning(
            "creation failed",
            extra={"container": intent.container_id, "code": cause.code.value, "reason": reason_of(error, spec)},
        )
        self._remove_traces(spec)
        failed = replace(intent, step=Step.FAILED, cause=cause)
        try:
            self._tell(failed, telling(Failed, intent, self._runtime.time(), cause=cause))
        except Superseded:
            return

    def _remove_traces(self, spec: ContainerSpec) -> None:
        """What cannot be removed now is removed by the next look at the engine, since its intent has failed."""
        name = engine_name(spec.container_id, spec.generation)
        found = None
        try:
            found = self._engine.find(name)
            if found is not None:
                self._engine.remove(found.engine_id)
            self._files.remove(name)
        except EngineError:
            log.warning("traces left to the next look", extra={"container": spec.container_id})
        self._networks.free(name, found.holder if found else None)

    def _tell(self, intent: Intent, *tellings: Telling, expected: tuple[Step, ...] = CREATING) -> Intent:
        """Write step and events; Superseded when the container is no longer wanted, or not by this process."""
        if self.closing.is_set():
            raise Superseded
        written = self._journal.advance(replace(intent, changed_at=self._runtime.time()), tellings, expected=expected)
        if written is None:
            raise Superseded
        self._told()
        return written

    def _begun(self, intent: Intent, stage: Stage) -> Telling:
        """Told in one write with the end of the stage before: each write waits for the disk."""
        return self._progress(intent, stage, PROGRESS[stage], _beginning(stage))

    def _progress(self, intent: Intent, stage: Stage, percent: int, message: str) -> Telling:
        return telling(Progress, intent, self._runtime.time(), stage=stage, progress=percent, message=message)


_HAVE_IMAGE = "image is on the host"


def _beginning(stage: Stage) -> str:
    return f"{stage.value} the container"


@dataclass(slots=True)
class _Stage:
    pulling: bool = False


class _Patience:
    """Asks the engine again while it is down, but neither too long nor past the creation's deadline."""

    def __init__(self, intent: Intent, engine_seconds: float, runtime: Runtime, closing: Flag) -> None:
        self._engine_seconds = engine_seconds
        self._runtime = runtime
        self._closing = closing
        self._deadline = runtime.monotonic() + (intent.deadline - runtime.time())

    def left(self) -> float:
        """Seconds until the creation must be over."""
        return max(0.0, self._deadline - self._runtime.monotonic())

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The engine's answer; EngineDown after too long without one, TimedOut at the deadline."""
        gives_up = self._runtime.monotonic() + self._engine_seconds
        while True:
            if self.left() <= 0:
                raise TimedOut
            try:
                return question()
            except EngineDown:
                if self._runtime.monotonic() > gives_up:
                    raise
                if self._closing.wait(RETRY_SECONDS):
                    raise Superseded from None
