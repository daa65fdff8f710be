"""Tiers, images and roles: the JSON files of `domain.data` come in once, typed tables go out."""

from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

BAREBONE = "barebone"
"""The role of an image left as it is."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Range(_Row):
    """One amount of a tier: what absent means, and the least and most that can be asked for."""

    default: int
    least: int
    most: int

    def grant(self, requested: int | None) -> int:
        """The amount granted: the default for None and 0, else the nearest within the range."""
        return min(max(requested, self.least), self.most) if requested else self.default


class Tier(_Row):
    """What a user's tier allows: containers at once, seconds of a session (None = no limit), amounts."""

    title: str
    containers: int
    session_seconds: int | None
    memory_mb: Range
    cpu_shares: Range
    disk_mb: Range
    runtime: str | None = Field(default=None, exclude=True)
    """The engine's runtime for its containers, on hosts that have it; None = the host's default. Not published."""


class Image(_Row):
    """A supported image: its documented name, short aliases, and what the engine pulls."""

    name: str
    aliases: list[str]
    reference: str
    title: str
    family: str


class Images(_Row):
    """The supported images and the registries that custom images may come from."""

    images: list[Image]
    registries: list[str]


class Role(_Row):
    """A set of tools that a container can be prepared with."""

    id: str
    name: str
    description: str
    packages: list[str]


@cache
def tiers() -> dict[str, Tier]:
    """Tiers by id."""
    return TypeAdapter(dict[str, Tier]).validate_python(_read("tiers.json"))


@cache
def images() -> Images:
    """Supported images and allowed registries."""
    return Images.model_validate(_read("images.json"))


@cache
def roles() -> dict[str, Role]:
    """Roles by id."""
    return {role.id: role for role in TypeAdapter(list[Role]).validate_python(_read("roles.json"))}


def _read(name: str) -> Any:
    text = resources.files("chalicelib.domain.data").joinpath(name).read_bytes()
    return TypeAdapter(Any).validate_json(text)
