"""An image's digest, kept as a name on the engine: a digest comes in, a local name goes out, and back.

An engine forgets what a tag was pinned to when an image comes to it by another way; a name stays with its image.
"""

import hashlib
import re
from collections.abc import Iterable

from chalicelib.contract.kept_names import PINS, is_kept_name
from infra.hostagent.registry.references import DOCKER_HUB, OFFICIAL, parse

_PIN = re.compile(rf"{PINS}(?:/[0-9a-f]+)?:(sha256)-([0-9a-f]{{64}})")


def pin_of(digest: str, reference: str = "") -> str:
    """The local name of the image with this digest; of what this reference was pinned to, when one is given."""
    repository = f"{PINS}/{_key(reference)}" if reference else PINS
    return f"{repository}:{digest.replace(':', '-')}"


def pinned(names: Iterable[str], reference: str) -> str | None:
    """The digest that is among these names of one image: the reference's own, or else any.

    The same content may have been had under several digests.
    """
    matches = {name: match for name in names if (match := _PIN.fullmatch(name))}
    own = [match for name, match in matches.items() if name.startswith(f"{PINS}/{_key(reference)}:")]
    found = next(iter([*own, *matches.values()]), None)
    return f"{found[1]}:{found[2]}" if found else None


def is_pin(name: str) -> bool:
    """Whether a name says a digest and nothing else."""
    return name.startswith((f"{PINS}:", f"{PINS}/"))


def pins_of(reference: str, names: Iterable[str]) -> list[str]:
    """Those names that say what this reference was pinned to."""
    return [name for name in names if name.startswith(f"{PINS}/{_key(reference)}:")]


def is_kept(reference: str) -> bool:
    """Whether the name is one that hosts use for themselves: no image that is asked for is called so."""
    where = parse(reference)
    return is_kept_name(where.repository.removeprefix(OFFICIAL), on_hub=where.registry == DOCKER_HUB)


def local_name(reference: str) -> str:
    """What an engine is asked for an image by: its pin when the reference has a digest."""
    where = parse(reference)
    return pin_of(where.digest) if where.digest else f"{where.local_name}:{where.tag}"


def _key(reference: str) -> str:
    return hashlib.sha256(local_name(reference).encode()).hexdigest()[:32]
