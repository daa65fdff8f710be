"""Where a container goes: groups of hosts and a wish come in, the host to try first goes out (reliability §5.5).

Power of choices on reservations: of a few random hosts with room, the emptiest; a host that has the image is
preferred while it is not nearly full, one that has just failed somebody is the last choice. One that cannot hold a
container to its disk is none at all, or, where the deployment allows it, the last. The reservation itself
is a conditional write and has the last word. `docs/placement.md` shows why this and not another rule.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice

from chalicelib.contract.resources import Resources
from chalicelib.domain.errors import NoCapacity, NoLimits
from chalicelib.domain.host import Host

WARM_LIMIT = 0.85
"""A host fuller than this is not preferred for its images."""

IMAGE_BONUS = 0.15
"""How much emptier a host without the image must be to win."""

FAILING_PENALTY = 1.0
"""Every host that did not fail wins over one that did."""

UNLIMITED_PENALTY = 2.0
"""Every host that limits disks wins over one that does not."""

CHOICES = 4
"""Hosts compared: two of each of two groups, which is no more to read than one of each."""

MOST_GROUPS = 8
"""Groups looked at before it is said that there is no room; a retry of the command looks at others."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a container wants of a host."""

    resources: Resources
    image: str
    refused: frozenset[str] = frozenset()
    """Hosts that did not take it before."""
    runtime: str | None = None
    """What it must be run with, if that is not left to the host."""
    any_disk: bool = False
    """Also a host that does not limit disks will do."""


def choose_host(groups: Iterable[Sequence[Host]], wish: Wish, now: datetime, choice: Callable[[int], int]) -> Host:
    """The best of four random hosts with room, or NoCapacity; `choice(n)` gives a number from 0 to n - 1.

    Of two groups where there are two, since groups are of unequal size and one alone would fill unevenly; no more
    are asked for than are needed. NoLimits when there was room, but of those looked at no host limits disks.
    """
    drawn: list[Host] = []
    looked_at: list[Iterator[Host]] = []
    seen: list[Sequence[Host]] = []
    with_room = 0
    for group in islice(groups, MOST_GROUPS):
        seen.append(group)
        looked_at.append(_fitting(group, wish, now, choice))
        found = list(islice(looked_at[-1], CHOICES // 2))
        drawn += found
        with_room += bool(found)
        if with_room == 2:
            break
    drawn += islice(chain.from_iterable(looked_at), CHOICES - len(drawn))
    if not drawn:
        raise _none(chain.from_iterable(seen), wish, now)
    return min(drawn, key=lambda host: cost(host, wish.image, now))


def _none(seen: Iterable[Host], wish: Wish, now: datetime) -> NoCapacity:
    """Why there was no host."""
    up = [host for host in seen if host.placeable(now)]
    if any(host.room_for(wish.resources) for host in up) and not any(host.disk_limited for host in up):
        return NoLimits("no host limits disks")
    return NoCapacity(f"no host with the runtime {wish.runtime} has room" if wish.runtime else "no host has room")


def _fitting(group: Sequence[Host], wish: Wish, now: datetime, choice: Callable[[int], int]) -> Iterator[Host]:
    """The hosts of a group that take it, in random order; each is looked at only when it is asked for."""
    left = list(group)
    while left:
        drawn = choice(len(left))
        left[drawn], left[-1] = left[-1], left[drawn]
        host = left.pop()
        if host.id in wish.refused or not host.runs(wish.runtime):
            continue
        if host.takes(wish.resources, now, any_disk=wish.any_disk):
            yield host


def cost(host: Host, image: str, now: datetime) -> float:
    """What speaks against a host; the least wins."""
    fullness = host.fullness
    warm = host.report is not None and fullness < WARM_LIMIT and image in host.report.images
    penalty = (FAILING_PENALTY if host.failing(now) else 0.0) + (0.0 if host.disk_limited else UNLIMITED_PENALTY)
    return fullness - (IMAGE_BONUS if warm else 0.0) + penalty
