"""How many examples a property is tried with: a number for every run comes in, the profile's number goes out."""

import os

from hypothesis import settings

NIGHTLY = 20_000

PROFILES = {
    "same": settings(derandomize=True, deadline=None, print_blob=True),
    "random": settings(deadline=None, print_blob=True),
    "nightly": settings(deadline=None, print_blob=True, max_examples=NIGHTLY),
}
"""`same` tries the same examples in every run, so that nobody's change fails by another's luck; `random` tries new
ones (or those of `--hypothesis-seed`), and `nightly` very many of them."""


def examples(count: int) -> int:
    """This many, and in the profile `nightly` no fewer than `NIGHTLY`."""
    return max(count, NIGHTLY) if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else count
