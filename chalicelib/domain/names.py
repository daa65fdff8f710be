"""Names of containers: what the client sent comes in, a valid name or None (to be generated) goes out."""

import re
from collections.abc import Callable

from chalicelib.domain.errors import InvalidRequest

PATTERN = "[A-Za-z0-9][A-Za-z0-9-]{0,63}"
_VALID = re.compile(PATTERN)

ADJECTIVES = (
    "able", "amber", "ample", "azure", "bold", "brave", "bright", "brisk", "calm", "clear",
    "clever", "cosmic", "crisp", "deft", "eager", "early", "fair", "fleet", "gentle", "glad",
    "golden", "grand", "happy", "hardy", "jolly", "keen", "kind", "lively", "lucky", "mellow",
    "noble", "proud", "quick", "quiet", "rapid", "silver", "steady", "sunny", "swift", "vivid",
)  # fmt: skip
NOUNS = (
    "anchor", "badger", "beacon", "breeze", "canyon", "cedar", "comet", "coral", "crane", "delta",
    "dolphin", "eagle", "ember", "falcon", "fjord", "forest", "garnet", "harbor", "heron", "island",
    "jaguar", "lagoon", "lantern", "lion", "maple", "meadow", "meteor", "otter", "panda", "pebble",
    "pine", "quartz", "raven", "reef", "river", "sparrow", "summit", "tiger", "walrus", "willow",
)  # fmt: skip


def clean_name(name: str | None) -> str | None:
    """The trimmed name, None when it is to be generated, or InvalidRequest."""
    trimmed = (name or "").strip()
    if not trimmed:
        return None
    if not _VALID.fullmatch(trimmed):
        error = "invalid container name: must be 1-64 characters, alphanumeric and hyphens only"
        raise InvalidRequest(error, "name")
    return trimmed


def generated_name(choice: Callable[[int], int]) -> str:
    """A name like `swift-lion-742`; `choice(n)` gives a number from 0 to n - 1."""
    adjective, noun = ADJECTIVES[choice(len(ADJECTIVES))], NOUNS[choice(len(NOUNS))]
    return f"{adjective}-{noun}-{choice(1000):03d}"
