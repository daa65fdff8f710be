"""One container made: an intent comes in, the engine is driven step by step, numbered events go to the journal."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.events import AboutContainer, Created, Failed, Progress, Ready
from chalicelib.contract.statuses import PROGRESS, PULLED, Stage
from infra.hostagent.failures import TimedOut, cause_of
from infra.hostagent.journal import CREATING, Intent, Journal, Step, Telling
from infra.hostagent.ports import Engine, EngineDown, EngineError, EngineRefused, NameInUse
from infra.hostagent.profile import engine_name, profile_of
from infra.hostagent.pulls import Pulls

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


@dataclass(frozen=True, slots=True)
class Creation:
    """Drives intents from `accepted` to `ready` or `failed`; safe to run again from any step."""

    engine: Engine
    journal: Journal
    pulls: Pulls
    starts: threading.Semaphore
    place: Place
    told: Callable[[], None]
    """Called after each event, so that it is sent at once."""
    closing: threading.Event = field(default_factory=threading.Event)
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
        patience = _Patience(intent, self.place.engine_patience_seconds, self.closing)
        if intent.step is Step.ACCEPTED:
            stage.pulling = True
            self._have_image(intent, spec, patience)
            stage.pulling = False
            intent = self._create(intent, spec, patience)
        if intent.step is Step.CREATED:
            intent = self._start(intent, patience)
        self._configure(intent, patience)

    def _have_image(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> None:
        if patience.ask(lambda: self.engine.has_image(spec.image)):
            self._tell(intent, _progress(intent, Stage.PULLING, PULLED, "image is on the host"))
            return
        deadline = time.monotonic() + patience.left()
        self._tell(intent, _progress(intent, Stage.PULLING, PROGRESS[Stage.PULLING], f"pulling {spec.image}"))
        self.pulls.wait(
            spec.image, deadline, lambda percent: self._pulling(intent, spec, percent), lambda: self._check(intent)
        )
        self._tell(intent, _progress(intent, Stage.PULLING, PULLED, "image is on the host"))

    def _pulling(self, intent: Intent, spec: ContainerSpec, percent: int) -> None:
        if percent > PROGRESS[Stage.PULLING]:
            self._tell(intent, _progress(intent, Stage.PULLING, percent, f"pulling {spec.image}"))

    def _check(self, intent: Intent) -> None:
        """Superseded when the container is no longer wanted."""
        found = None if self.closing.is_set() else self.journal.get(intent.container_id)
        if found is None or found.generation != intent.generation or found.step not in CREATING:
            raise Superseded

    def _create(self, intent: Intent, spec: ContainerSpec, patience: "_Patience") -> Intent:
        self._tell(intent, _progress(intent, Stage.CREATING, PROGRESS[Stage.CREATING], "creating the container"))
        engine_id = patience.ask(lambda: self._created(spec))
        created = replace(intent, step=Step.CREATED, engine_id=engine_id)
        return self._tell(
            created,
            telling(Created, intent, engine_id=engine_id),
            expected=(Step.ACCEPTED,),
        )

    def _created(self, spec: ContainerSpec) -> str:
        """The engine id; a container of our name that is there already is ours from an earlier try (M4)."""
        profile = profile_of(spec, self.place.host_id, self.place.network, self.place.cores)
        try:
            return self.engine.create(profile)
        except NameInUse:
            found = self.engine.find(engine_name(spec.container_id, spec.generation))
            if found is None:
                raise EngineRefused("the name is taken by a container that is not ours") from None
            return found.engine_id

    def _start(self, intent: Intent, patience: "_Patience") -> Intent:
        self._tell(intent, _progress(intent, Stage.STARTING, PROGRESS[Stage.STARTING], "starting the container"))
        with self.starts:
            patience.ask(lambda: self.engine.start(str(intent.engine_id)))
        return self._tell(replace(intent, step=Step.STARTED), expected=(Step.CREATED,))

    def _configure(self, intent: Intent, patience: "_Patience") -> None:
        message = "configuring the container"
        self._tell(intent, _progress(intent, Stage.CONFIGURING, PROGRESS[Stage.CONFIGURING], message))
        if not patience.ask(lambda: self.engine.answers(str(intent.engine_id))):
            raise EngineRefused("no process can be started inside")
        self._tell(
            replace(intent, step=Step.READY),
            telling(Ready, intent, engine_id=intent.engine_id, started_at=datetime.now(UTC)),
            expected=(Step.STARTED,),
        )
        log.info("container ready", extra={"container": intent.container_id})

    def _fail(self, intent: Intent, spec: ContainerSpec, error: Exception, *, pulling: bool) -> None:
        """Remove what there is, then say why: a failed creation leaves nothing behind."""
        cause = cause_of(error, spec.image, pulling=pulling)
        log.warning(
            "creation failed",
            extra={"container": intent.container_id, "code": cause.code.value, "reason": repr(error)[:500]},
        )
        self._remove_traces(spec)
        failed = replace(intent, step=Step.FAILED, cause=cause, changed_at=time.time())
        try:
            self._tell(
                failed,
                telling(Failed, intent, cause=cause),
                expected=CREATING,
            )
        except Superseded:
            return

    def _remove_traces(self, spec: ContainerSpec) -> None:
        """What cannot be removed now is removed by the next look at the engine, since its intent has failed."""
        try:
            found = self.engine.find(engine_name(spec.container_id, spec.generation))
            if found is not None:
                self.engine.remove(found.engine_id)
        except EngineError:
            log.warning("traces left to the next look", extra={"container": spec.container_id})

    def _tell(self, intent: Intent, *tellings: Telling, expected: tuple[Step, ...] = CREATING) -> Intent:
        """Write step and events; Superseded when the container is no longer wanted, or not by this process."""
        if self.closing.is_set():
            raise Superseded
        written = self.journal.advance(replace(intent, changed_at=time.time()), tellings, expected=expected)
        if written is None:
            raise Superseded
        self.told()
        return written


@dataclass(slots=True)
class _Stage:
    pulling: bool = False


class _Patience:
    """Asks the engine again while it is down, but neither too long nor past the creation's deadline."""

    def __init__(self, intent: Intent, engine_seconds: float, closing: threading.Event) -> None:
        self._engine_seconds = engine_seconds
        self._closing = closing
        self._deadline = time.monotonic() + (intent.deadline - time.time())

    def left(self) -> float:
        """Seconds until the creation must be over."""
        return max(0.0, self._deadline - time.monotonic())

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """The engine's answer; EngineDown after too long without one, TimedOut at the deadline."""
        gives_up = time.monotonic() + self._engine_seconds
        while True:
            if self.left() <= 0:
                raise TimedOut
            try:
                return question()
            except EngineDown:
                if time.monotonic() > gives_up:
                    raise
                if self._closing.wait(RETRY_SECONDS):
                    raise Superseded from None


def telling(kind: type[AboutContainer], intent: Intent, **fields: object) -> Telling:
    """What makes an event of this kind about this intent, once its number is known."""
    about = {
        "container_id": intent.container_id,
        "user_id": intent.user_id,
        "generation": intent.generation,
        "at": datetime.now(UTC),
    }
    return lambda number: kind.model_validate(about | fields | {"number": number})


def _progress(intent: Intent, stage: Stage, percent: int, message: str) -> Telling:
    return telling(Progress, intent, stage=stage, progress=percent, message=message)
