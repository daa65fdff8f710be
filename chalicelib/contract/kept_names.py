"""Names of images that hosts use for themselves: a name comes in, whether it is one of those goes out."""

import re

PINS = "berth-pin"
"""What hosts name images by whose digest they keep."""
TEMPORARY = "berth-pull-"
"""How the names begin that images have while they are pulled, of whatever registry."""

_ON_HUB = re.compile(rf"{PINS}(/.*)?|berth/.*|sha256")
"""Pins, and what is prepared; a name that is the beginning of a digest means any image by its id."""


def is_kept_name(name: str, *, on_hub: bool) -> bool:
    """Whether no image asked for may be called so; `on_hub`: of the default registry, its name without `library/`."""
    return name.startswith(TEMPORARY) or (on_hub and _ON_HUB.fullmatch(name) is not None)
