"""Which image is meant: `image` and `custom_image` of a request come in, a choice the engine can pull goes out.

Custom references follow the distribution grammar; their registry must be on the list, so that nobody can point a
host at an address of their choosing (reliability §4.5).
"""

import re
from dataclasses import dataclass

from chalicelib.contract.kept_names import is_kept_name
from chalicelib.domain import catalogue
from chalicelib.domain.errors import InvalidRequest

CUSTOM = "custom"
LONGEST = 255
DEFAULT_REGISTRY = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_HTTPS_PORT = "443"
_OFFICIAL = "library/"
_IDENTITY = re.compile(r"[0-9a-f]{64}")
"""Of an image, to a host that finds it where a name of Docker Hub should be."""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """`asked` is echoed to the client, `reference` is what the engine pulls."""

    asked: str
    reference: str
    custom: bool


def choose_image(image: str | None, custom_image: str | None) -> ImageChoice:
    """The image meant by the two fields, or InvalidRequest with the contract's words."""
    if not image:
        raise InvalidRequest("image is required", "image", supported_images=supported())
    if image == CUSTOM:
        return _custom(custom_image)
    for known in catalogue.images().images:
        if image == known.name or image in known.aliases:
            return _supported(image, known.reference, custom_image)
    raise InvalidRequest("unsupported image type", "image", supported_images=supported())


def supported() -> list[str]:
    """What `image` may be, sorted."""
    return sorted([known.name for known in catalogue.images().images] + [CUSTOM])


def _supported(asked: str, reference: str, custom_image: str | None) -> ImageChoice:
    if custom_image:
        raise InvalidRequest("custom_image is only allowed when image is 'custom'", "custom_image")
    return ImageChoice(asked, reference, custom=False)


def _custom(reference: str | None) -> ImageChoice:
    if not reference:
        raise InvalidRequest("custom_image is required when image is 'custom'", "custom_image")
    match = _REFERENCE.fullmatch(reference) if len(reference) <= LONGEST else None
    if match is None:
        raise InvalidRequest("invalid custom_image format", "custom_image")
    _check_registry(match["host"], match["port"])
    _check_name(match["host"], match["port"], match["path"])
    return ImageChoice(f"{CUSTOM}:{reference}", reference, custom=True)


def _check_registry(host: str | None, port: str | None) -> None:
    """The engine takes the first component for a registry when it has a dot or a port, or is `localhost`."""
    allowed = catalogue.images().registries
    if host is not None and not _means_registry(host, port):
        if host != host.lower():
            raise InvalidRequest("invalid custom_image format", "custom_image")
        host = None
    registry = host or DEFAULT_REGISTRY
    if registry not in allowed or port not in (None, _HTTPS_PORT):
        raise InvalidRequest("registry not allowed", "custom_image", allowed_registries=sorted(allowed))


def _check_name(host: str | None, port: str | None, path: str) -> None:
    """As hosts read it: what is no registry is part of the name, and the hub's own images go without theirs."""
    if host is not None and not _means_registry(host, port):
        host, path = None, f"{host}/{path}"
    name = path.removeprefix(_OFFICIAL)
    on_hub = host in (None, DEFAULT_REGISTRY)
    if is_kept_name(name, on_hub=on_hub) or (on_hub and _IDENTITY.fullmatch(name)):
        raise InvalidRequest("custom_image has a name that hosts keep for themselves", "custom_image")


def _means_registry(host: str, port: str | None) -> bool:
    return port is not None or "." in host or ":" in host or host.lower() == "localhost"
