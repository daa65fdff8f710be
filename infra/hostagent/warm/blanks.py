"""Containers made ahead for nobody yet: what a creation asks for comes in, what blank would do for it goes out.

A blank is like a container of its kind in everything but whose it is; what is a container's own (its id, name, files
and network namespace) is given to it when it is claimed.
"""

from dataclasses import dataclass, replace

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode, Resources, Shell
from infra.hostagent.profile import (
    LABEL,
    LABEL_BLANK,
    LABEL_CONTAINER,
    LABEL_GENERATION,
    LABEL_HOST,
    LABEL_SPEC,
    LABEL_USER,
    Profile,
    blank_id,
    engine_name,
)

NOBODY = "nobody"
HOSTNAME = "container"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """All that a blank and the container it becomes have in common."""

    image: str
    """The image asked for."""
    made_from: str
    """That image, or the one prepared from it."""
    digest: str | None
    role: str
    shell: Shell
    resources: Resources
    runtime: str | None

    def spec(self, token: str) -> ContainerSpec:
        """The spec of a blank of this kind."""
        return ContainerSpec(
            container_id=blank_id(token),
            user_id=NOBODY,
            generation=1,
            name=HOSTNAME,
            image=self.image,
            role=self.role,
            shell=self.shell,
            resources=self.resources,
            runtime=self.runtime,
            create_seconds=_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Blank:
    """One that runs, with people's way in, and waits."""

    kind: Kind
    token: str
    engine_id: str
    holder: str
    made_at: float
    """Monotonic seconds."""

    @property
    def name(self) -> str:
        """The engine's name for it, until it is claimed."""
        return engine_name(blank_id(self.token), 1)


def kind_of(spec: ContainerSpec, made_from: str, digest: str | None) -> Kind | None:
    """The kind that would do; None where the engine must be told of something that it cannot be told later.

    Labels do not count: those of a container are its record's, what the engine has of them is a note for the operator.
    Nor do variables: the agent gives them to every command and shell (ADR 0032).
    """
    if spec.network_mode is not NetworkMode.DEFAULT or spec.number:
        return None
    return Kind(spec.image, made_from, digest, spec.role, spec.shell, spec.resources, spec.runtime)


def unlabelled(profile: Profile, host_id: str) -> Profile:
    """The profile with the labels of a blank, which say nothing of whose it is or will be; nor does its image."""
    nobody = dict.fromkeys((LABEL_CONTAINER, LABEL_GENERATION, LABEL_SPEC, LABEL_USER), "")
    labels = nobody | {LABEL: "true", LABEL_BLANK: profile.name, LABEL_HOST: host_id}
    return replace(profile, container=profile.container | {"labels": labels})
