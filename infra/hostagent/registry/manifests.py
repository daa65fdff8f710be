"""What an image is made of: a manifest's bytes come in, checked parts go out, or an ImageFault that says why not.

Looked at before any layer is asked for: media types, platform, layers, bytes, and that nothing is fetched from
addresses of the image's own choosing.
"""

import hashlib
import platform
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from infra.hostagent.registry.errors import TooLarge, Unsupported
from infra.hostagent.registry.inflate import Packing

MOST_LAYERS = 60
MOST_ENTRIES = 200
COMPRESSED_BYTES = 2 * 1000**3
UNPACKED_BYTES = 6 * 1000**3
CONFIG_BYTES = 4 * 1024 * 1024

_DOCKER, _OCI = "application/vnd.docker", "application/vnd.oci.image"
INDEXES = (f"{_DOCKER}.distribution.manifest.list.v2+json", f"{_OCI}.index.v1+json")
MANIFESTS = (f"{_DOCKER}.distribution.manifest.v2+json", f"{_OCI}.manifest.v1+json")
CONFIGS = (f"{_DOCKER}.container.image.v1+json", f"{_OCI}.config.v1+json")
GZIP = (f"{_DOCKER}.image.rootfs.diff.tar.gzip", f"{_OCI}.layer.v1.tar+gzip")
ZSTD = (f"{_DOCKER}.image.rootfs.diff.tar.zstd", f"{_OCI}.layer.v1.tar+zstd")
PLAIN = (f"{_DOCKER}.image.rootfs.diff.tar", f"{_OCI}.layer.v1.tar")
PACKINGS = dict.fromkeys(PLAIN, Packing.PLAIN) | dict.fromkeys(GZIP, Packing.GZIP) | dict.fromkeys(ZSTD, Packing.ZSTD)
"""How layers are packed, by their media types; there are no others here."""
ACCEPT = ", ".join((*MANIFESTS, *INDEXES))

Shape = TypeVar("Shape")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class _Said(BaseModel):
    """What a registry says: only what is looked at here, and nothing else is believed."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Platform(_Said):
    """What a machine has to be."""

    os: str
    architecture: str
    variant: str = ""

    @property
    def ours(self) -> bool:
        """Whether this machine is such a one."""
        return self.os == "linux" and self.architecture == machine() and self.variant in ("", "v8")


class Descriptor(_Said):
    """One part of an image, by its content."""

    media_type: str = Field(alias="mediaType", max_length=255)
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)
    urls: list[str] = Field(default_factory=list)
    platform: Platform | None = None


class Index(_Said):
    """One image for several platforms."""

    manifests: list[Descriptor]


class Manifest(_Said):
    """One image for one platform."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    config: Descriptor
    layers: list[Descriptor]

    @property
    def has_zstd(self) -> bool:
        """Whether a layer is packed so that older engines cannot read it."""
        return any(layer.media_type in ZSTD for layer in self.layers)


class _Kind(_Said):
    media_type: str = Field(default="", alias="mediaType")
    manifests: list[object] | None = None
    layers: list[object] | None = None


class _Config(_Said):
    os: str = "linux"
    architecture: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest that may be pulled, as it came."""

    digest: str
    media_type: str
    body: bytes
    manifest: Manifest


def machine() -> str:
    """This machine's architecture in the words of registries."""
    found = platform.machine()
    return _ARCHITECTURES.get(found, found)


def digest_of(body: bytes) -> str:
    """The digest of this content."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def expect(body: bytes, digest: str | None) -> str:
    """The body's digest, which is the one asked for, if one was."""
    found = digest_of(body)
    if digest is not None and found != digest:
        raise Unsupported("its registry sent something else")
    return found


def chosen(body: bytes, media_type: str) -> Descriptor | None:
    """The part of an index that is for this machine; None when the body is no index."""
    if _kind(body, media_type) not in INDEXES:
        return None
    entries = _read(Index, body).manifests
    if len(entries) > MOST_ENTRIES:
        raise Unsupported("its index is too long")
    for entry in entries:
        if entry.media_type in MANIFESTS and entry.platform is not None and entry.platform.ours:
            return entry
    raise Unsupported(f"there is none for linux/{machine()}")


def checked(body: bytes, media_type: str) -> Checked:
    """The manifest in this body, if it is one that may be pulled."""
    kind = _kind(body, media_type)
    if kind not in MANIFESTS:
        raise Unsupported("it is no image of a kind that is known here")
    manifest = _read(Manifest, body)
    _check_kinds(manifest)
    _check_sizes(manifest)
    return Checked(digest_of(body), kind, body, manifest)


def _check_kinds(manifest: Manifest) -> None:
    if manifest.config.media_type not in CONFIGS:
        raise Unsupported("it is no image of a container")
    if any(layer.media_type not in PACKINGS for layer in manifest.layers):
        raise Unsupported("it has a layer of a kind that is not taken here (gzip and zstd are)")
    if manifest.config.urls or any(layer.urls for layer in manifest.layers):
        raise Unsupported("it has layers that are elsewhere")


def _check_sizes(manifest: Manifest) -> None:
    if not manifest.layers:
        raise Unsupported("there is nothing in it")
    if manifest.config.size > CONFIG_BYTES or len(manifest.layers) > MOST_LAYERS:
        raise TooLarge(f"no more than {MOST_LAYERS} layers")
    if sum(layer.size for layer in manifest.layers) > COMPRESSED_BYTES:
        raise TooLarge(f"no more than {COMPRESSED_BYTES // 1000**3} GB to transfer")


def check_config(body: bytes) -> None:
    """A manifest that is in no index says only here what machine it is for."""
    config = _read(_Config, body)
    if not Platform(os=config.os, architecture=config.architecture).ours:
        raise Unsupported(f"there is none for linux/{machine()}")


def _kind(body: bytes, media_type: str) -> str:
    """What the body is. One that could be taken for both is neither (CVE-2021-41190)."""
    said = _read(_Kind, body)
    if said.manifests is not None and said.layers is not None:
        raise Unsupported("it is said to be two things at once")
    if said.media_type and said.media_type != media_type:
        raise Unsupported("it is said to be two things at once")
    return media_type


def _read(shape: type[Shape], body: bytes) -> Shape:
    try:
        return TypeAdapter(shape).validate_json(body)
    except ValidationError:
        raise Unsupported("what its registry says of it makes no sense") from None
