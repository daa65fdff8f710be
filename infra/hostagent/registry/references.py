"""Where an image is: a reference comes in, its registry, its repository there, and tag or digest go out."""

import re
from dataclasses import dataclass

DOCKER_HUB = "docker.io"
OFFICIAL = "library/"
"""Where the hub's own images are, which engines leave out."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One image as its registry knows it."""

    registry: str
    """Host, with a port when one was given."""
    repository: str
    tag: str | None
    """None when a digest says it all."""
    digest: str | None

    @property
    def local_name(self) -> str:
        """What engines call the repository."""
        if self.registry != DOCKER_HUB:
            return f"{self.registry}/{self.repository}"
        short = self.repository.removeprefix(OFFICIAL)
        return self.repository if "/" in short else short

    @property
    def full_name(self) -> str:
        """All of it, so that no engine takes it for anything else, such as the beginning of an image's id."""
        name = f"{self.registry}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"

    @property
    def wanted(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag or "latest"


def parse(reference: str) -> Reference:
    """The parts, as engines read them: no registry means Docker Hub, no tag and no digest `latest`."""
    rest, _, digest = reference.partition("@")
    first, slash, after = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first.removesuffix(":443"), after
    else:
        registry = DOCKER_HUB
    name, colon, tag = rest.partition(":")
    if registry == DOCKER_HUB and "/" not in name:
        name = f"{OFFICIAL}{name}"
    return Reference(registry, name, tag if colon else None if digest else "latest", digest or None)
