"""Rules of choice: views and a wish come in, a host goes out. `power_of_choices` is the real one."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from chalicelib.domain.errors import NoCapacity
from chalicelib.domain.placement import MOST_GROUPS, Wish, choose_host, cost
from tests.placement.fleet import Fleet
from tests.placement.rows import HostRow

Policy = Callable[[Fleet, Wish], HostRow]


def power_of_choices(fleet: Fleet, wish: Wish) -> HostRow:
    """The real one: four hosts of two groups."""
    groups: Any = fleet.samples(fleet.choice)
    chosen: Any = choose_host(groups, wish, fleet.now, fleet.choice)
    return chosen  # type: ignore[no-any-return]


def one_group(fleet: Fleet, wish: Wish) -> HostRow:
    """Four hosts of one group: half the reads."""
    groups: Any = islice(fleet.samples(fleet.choice), 1)
    chosen: Any = choose_host(groups, wish, fleet.now, fleet.choice)
    return chosen  # type: ignore[no-any-return]


def two_choices(fleet: Fleet, wish: Wish) -> HostRow:
    """One host of each of two groups."""
    groups = islice(fleet.samples(fleet.choice), 2)
    pair: list[Any] = [host for group in groups for host in _fitting(fleet, group, wish)[:1]]
    if not pair:
        raise NoCapacity("no host has room")
    return min(pair, key=lambda host: cost(host, wish.image, fleet.now))


def random_host(fleet: Fleet, wish: Wish) -> HostRow:
    """Any host with room."""
    return _drawn(fleet, wish, 1)[0]


def best_fit(fleet: Fleet, wish: Wish) -> HostRow:
    """The fullest of eight with room."""
    return max(_drawn(fleet, wish, 8), key=lambda host: host.fullness)


class LeastLoaded:
    """The emptiest of the whole view, which is sorted once a second."""

    def __init__(self) -> None:
        self._seen: tuple[Fleet, int] | None = None
        self._sorted: list[HostRow] = []

    def __call__(self, fleet: Fleet, wish: Wish) -> HostRow:
        if self._seen != (fleet, fleet.second):
            self._seen = (fleet, fleet.second)
            self._sorted = sorted(fleet.whole_view(), key=lambda host: host.fullness)
        for host in self._sorted:
            if host.id not in wish.refused and host.takes(wish.resources, fleet.now):
                return host
        raise NoCapacity("no host has room")


def _drawn(fleet: Fleet, wish: Wish, count: int) -> list[HostRow]:
    for group in islice(fleet.samples(fleet.choice), MOST_GROUPS):
        found = _fitting(fleet, group, wish)[:count]
        if found:
            return found
    raise NoCapacity("no host has room")


def _fitting(fleet: Fleet, group: list[HostRow], wish: Wish) -> list[HostRow]:
    hosts = [host for host in group if host.id not in wish.refused and host.takes(wish.resources, fleet.now)]
    fleet.random.shuffle(hosts)
    return hosts
