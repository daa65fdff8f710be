"""Where a container goes: hosts and a wish come in, the host to try first goes out (reliability §5.5).

Power of two choices on reservations: of two random hosts with room, the emptier; a host that has the image is
preferred while it is not nearly full. The reservation itself is a conditional write and has the last word.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from chalicelib.contract.resources import Resources
from chalicelib.domain.errors import NoCapacity
from chalicelib.domain.host import Host

WARM_LIMIT = 0.85
"""A host fuller than this is not preferred for its images."""

IMAGE_BONUS = 0.15
"""How much emptier a host without the image must be to win."""


def choose_host(
    hosts: Sequence[Host], wanted: Resources, image: str, now: datetime, choice: Callable[[int], int]
) -> Host:
    """The better of two random hosts with room, or NoCapacity; `choice(n)` gives a number from 0 to n - 1."""
    fitting = [host for host in hosts if host.takes(wanted, now)]
    if not fitting:
        raise NoCapacity("no host has room")
    pair = {choice(len(fitting)), choice(len(fitting))}
    return min((fitting[index] for index in sorted(pair)), key=lambda host: _cost(host, image))


def _cost(host: Host, image: str) -> float:
    warm = host.report is not None and image in host.report.images and host.fullness < WARM_LIMIT
    return host.fullness - (IMAGE_BONUS if warm else 0.0)
