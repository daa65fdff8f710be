"""Images as containers need them: a spec comes in; what it is made from goes out, pulled and prepared for its role."""

from collections.abc import Callable

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.statuses import PROGRESS, PULLED, Stage
from infra.hostagent.containers.creation import Images, Tell
from infra.hostagent.failures import NotPrepared
from infra.hostagent.images.building import ImageStore, UnknownDistribution, reference_of
from infra.hostagent.images.builds import Builds, Order
from infra.hostagent.ports import ImageMissing
from infra.images.families import families
from infra.images.recipes import Recipe, recipe_of

_PULLING = PROGRESS[Stage.PULLING]
_PREPARING = _PULLING + (PULLED - _PULLING) // 3
"""Per cent when what was pulled begins to be prepared."""


class PreparedImages:
    """`creation.Images` round another: what that one has, with the user, the shell and the role's tools."""

    def __init__(
        self, pulled: Images, store: ImageStore, builds: Builds, used: Callable[[str], None] = lambda _image: None
    ) -> None:
        """`used` hears of every image that a container is about to be made from, and of what that was prepared from."""
        self._pulled = pulled
        self._store = store
        self._builds = builds
        self._used = used
        self._as_they_are: set[str] = set()
        """Names of images that cannot be had, since their base is of no distribution that is known here."""

    def find(self, spec: ContainerSpec) -> str | None:
        found = self._find(spec)
        if found is not None:
            self._used(found)
        return found

    def _find(self, spec: ContainerSpec) -> str | None:
        base, recipe = self._pulled.find(spec), _recipe(spec)
        if base is not None:
            self._used(base)
        if base is None or recipe is None:
            return base
        layers = self._store.layers(base)
        if layers is None:
            return None
        reference = reference_of(layers, recipe)
        if reference in self._as_they_are:
            return base
        return None if self._store.layers(reference) is None else reference

    def wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        found = self._wait(spec, deadline, tell, check)
        self._used(found)
        return found

    def _wait(self, spec: ContainerSpec, deadline: float, tell: Tell, check: Callable[[], None]) -> str:
        recipe = _recipe(spec)
        if recipe is None:
            return self._pulled.wait(spec, deadline, tell, check)
        base, since = self._pulled.find(spec), _PULLING
        if base is None:
            base, since = self._pulled.wait(spec, deadline, _slower(tell), check), _PREPARING
        return self._prepare(base, recipe, deadline, tell, check, since)

    def _prepare(
        self, base: str, recipe: Recipe, deadline: float, tell: Tell, check: Callable[[], None], since: int
    ) -> str:
        layers = self._store.layers(base)
        if layers is None:
            raise ImageMissing(base)
        reference = reference_of(layers, recipe)
        try:
            self._builds.wait(Order(base, recipe, reference), deadline, tell, check, since)
        except UnknownDistribution:
            if recipe.role is not None:
                known = ", ".join(sorted(family.title for family in families().values()))
                raise NotPrepared(recipe.title, f"the image's distribution is none of {known}; nothing") from None
            tell(PULLED - 1, "no shell of ours for this image's distribution: it keeps its own")
            self._as_they_are.add(reference)
            return base
        return reference


def _recipe(spec: ContainerSpec) -> Recipe | None:
    try:
        return recipe_of(spec.role, enhanced=spec.shell.enhanced)
    except KeyError:
        raise NotPrepared(f"the role {spec.role}", "a role that this host does not know; nothing") from None


def _slower(tell: Tell) -> Tell:
    """A pull is the first third of it."""
    return lambda percent, message: tell(_PULLING + (percent - _PULLING) // 3, message)
