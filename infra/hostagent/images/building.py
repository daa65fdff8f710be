"""One image prepared on this host: a base and a recipe come in, told step by step, the name of a new image goes out.

It is built in a container with the same walls as a user's: the base may be anybody's. What it is called by says what
it was made of, so that what is there once is never built again, and another recipe or base makes another image.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import Resources
from infra.hostagent.containers.logins import REPOSITORY, as_person, login_command, look
from infra.hostagent.failures import NotPrepared
from infra.hostagent.images.sources import CA_BUNDLE, Sources
from infra.hostagent.ports import Engine, EngineDown
from infra.hostagent.profile import Bound, Profile, card_of, profile_of, resolved_by
from infra.hostagent.quotas.disk import Disk, Unenforced
from infra.images.families import families, family_of
from infra.images.recipes import Recipe, Step, Tool

log = logging.getLogger("berth.agent.building")

VERSIONS = "berth.versions"
"""Label with the versions of the tools, as they said themselves."""

STEP_SECONDS = 600.0
MEMORY_MB, DISK_MB = 2048, 10_240
_VERSION = re.compile(r"\d+(\.\d+)+[0-9A-Za-z.+~-]*")

Told = Callable[[int, int, str], None]
"""Hears which step of how many begins, and what it is in words."""


class ImageStore(Protocol):
    """Images of an engine, and the containers that they are built in. Every call may raise EngineDown."""

    def layers(self, reference: str) -> str | None:
        """What the image's files are, as a digest; None when it is not on the host."""

    def commit(self, engine_id: str, reference: str, labels: Mapping[str, str]) -> None:
        """Make an image of a container's files, under this name."""

    def labels(self, reference: str) -> dict[str, str]:
        """The image's labels. NotThere."""

    def containers_named(self, prefix: str) -> list[str]:
        """Engine ids of all containers whose names begin so."""


@dataclass(frozen=True, slots=True)
class BuildPlace:
    """Where builds run: this host, its network and its cores."""

    host_id: str
    network: str
    cores: int
    resolver: str | None = None
    """Whom containers ask for names there; None = the engine's own choice."""

    @property
    def prefix(self) -> str:
        """What the names of all its build containers begin with."""
        return f"berth-build-{self.host_id}-"


class UnknownDistribution(Exception):
    """The image is of no family that there are recipes for."""


def reference_of(layers: str, recipe: Recipe) -> str:
    """What the image of this base and this recipe is called."""
    return f"{REPOSITORY}:{hashlib.sha256(f'{layers} {recipe.digest}'.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Building:
    """Builds images, one container each; nothing of it remains but the image."""

    engine: Engine
    store: ImageStore
    place: BuildPlace
    sources: Sources
    disk: Disk = field(default_factory=Unenforced)

    def build(self, base: str, reference: str, recipe: Recipe, told: Told, check: Callable[[], None]) -> None:
        """Have the image. NotPrepared, UnknownDistribution, EngineError, or what `check` raises between two steps."""
        name = self.place.prefix + reference.rpartition(":")[2]
        self.sweep(name)
        engine_id = self.engine.create(self.disk.told(self._profile(name, base), DISK_MB))
        try:
            with self.disk.limited(engine_id, DISK_MB):
                self.engine.start(engine_id)
            steps = list(recipe.steps(self._family(engine_id)))
            for number, step in enumerate(steps):
                check()
                told(number, len(steps), step.what)
                self._do(engine_id, recipe, step)
            look(self.engine, engine_id, recipe)
            versions = {tool.name: self._version(engine_id, recipe, tool) for tool in recipe.tools()}
            self.store.commit(engine_id, reference, {VERSIONS: json.dumps(versions)})
        finally:
            self.engine.remove(engine_id)

    def sweep(self, name: str = "") -> None:
        """Remove what builds have left: of this name, or of this host altogether."""
        for engine_id in self.store.containers_named(name or self.place.prefix):
            log.info("build container removed", extra={"engine_id": engine_id})
            self.engine.remove(engine_id)

    def _family(self, engine_id: str) -> str:
        ran = self.engine.run(engine_id, ["sh", "-c", "cat /etc/os-release"], "0", {}, STEP_SECONDS)
        family = family_of(ran.output.replace("\r", ""))
        if family is None:
            raise UnknownDistribution
        return next(name for name, each in families().items() if each is family)

    def _do(self, engine_id: str, recipe: Recipe, step: Step) -> None:
        script = self.sources.seen_from(step.script)
        try:
            ran = self.engine.run(engine_id, ["sh", "-euc", script], "0", self.sources.variables(), STEP_SECONDS)
        except EngineDown as error:
            self._refuse(recipe, step.what, repr(error))
        if ran.exit_code:
            self._refuse(recipe, step.what, ran.output[-1000:])

    def _version(self, engine_id: str, recipe: Recipe, tool: Tool) -> str:
        """What the tool says of itself in a login shell of the user."""
        command = login_command(recipe, tool.check)
        ran = self.engine.run(engine_id, command, **as_person(), seconds=STEP_SECONDS)
        found = _VERSION.search(ran.output)
        if ran.exit_code or found is None:
            self._refuse(recipe, tool.name, ran.output[-1000:])
        return found.group()

    def _refuse(self, recipe: Recipe, what: str, output: str) -> NoReturn:
        log.warning("image could not be prepared", extra={"recipe": recipe.title, "step": what, "output": output})
        raise NotPrepared(recipe.title, what)

    def _profile(self, name: str, base: str) -> Profile:
        """A user's container in all but name and labels: nobody takes it for one."""
        spec = ContainerSpec(
            container_id=name,
            user_id="build",
            generation=1,
            name="build",
            image=base,
            resources=Resources(memory_mb=MEMORY_MB, cpu_shares=self.place.cores * 1000, disk_mb=DISK_MB),
            create_seconds=STEP_SECONDS,
        )
        place, bundle = self.place, self.sources.ca_bundle
        bound = [Bound(str(bundle), CA_BUNDLE)] if bundle else []
        profile = profile_of(spec, place.host_id, place.network, place.cores, bound)
        profile = replace(profile, name=name, card=card_of(name), container=profile.container | {"labels": {}})
        return resolved_by(profile, place.resolver)
