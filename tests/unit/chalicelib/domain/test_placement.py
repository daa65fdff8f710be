"""Where a container goes: which hosts are looked at, and which of them wins."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from chalicelib.contract.resources import Resources
from chalicelib.domain import catalogue
from chalicelib.domain.errors import NoCapacity, NoLimits
from chalicelib.domain.host import FAILING, IMAGES_TEXT, Host, Reserved, brief
from chalicelib.domain.placement import MOST_GROUPS, Wish, choose_host
from tests.builders import NOW, a_host, a_report

WISH = Wish(Resources(memory_mb=512, cpu_shares=500, disk_mb=1024), "image")


def chosen(*groups: Sequence[Host], wish: Wish = WISH, choice: Callable[[int], int] | None = None) -> str:
    return choose_host(groups, wish, NOW, choice or Random(5).randrange).id


def filled(host_id: str, memory_mb: int) -> Host:
    return a_host(host_id, reserved=Reserved(memory_mb=memory_mb))


def test_without_a_host_there_is_no_capacity() -> None:
    for groups in ([], [[]], [[], []]):
        with pytest.raises(NoCapacity):
            choose_host(groups, WISH, NOW, Random(1).randrange)


def test_hosts_that_cannot_take_it_are_not_chosen() -> None:
    hosts = [
        a_host("silent", received_at=NOW - timedelta(seconds=61)),
        a_host("new", report=None),
        a_host("draining", report=a_report(draining=True)),
        a_host("drained", draining=True),
        a_host("down", report=a_report(engine_up=False)),
        a_host("full", report=a_report(memory_mb=100)),
        a_host("many", report=a_report(max_containers=3), reserved=Reserved(containers=3)),
        a_host("refused"),
        a_host("good"),
    ]
    wish = Wish(WISH.resources, "image", refused=frozenset({"refused"}))

    for seed in range(20):
        assert chosen(hosts, wish=wish, choice=Random(seed).randrange) == "good"


def test_only_hosts_with_the_runtime_of_the_wish_are_chosen() -> None:
    hosts = [
        a_host("others", report=a_report(runtimes=["crun", "runc"])),
        a_host("old"),
        a_host("right", report=a_report(runtimes=["runc", "runsc"]), reserved=Reserved(memory_mb=12_000)),
    ]
    wish = Wish(WISH.resources, "image", runtime="runsc")

    for seed in range(20):
        assert chosen(hosts, wish=wish, choice=Random(seed).randrange) == "right"
    with pytest.raises(NoCapacity, match="runsc"):
        choose_host([hosts[:2]], wish, NOW, Random(1).randrange)


def test_a_host_that_does_not_limit_disks_is_not_chosen_however_empty() -> None:
    loose = a_host("loose", report=a_report(disk_limited=False))

    assert chosen([loose, filled("strict", 15_000)]) == "strict"
    with pytest.raises(NoLimits):
        choose_host([[loose], [a_host("down", report=a_report(engine_up=False))]], WISH, NOW, Random(1).randrange)


def test_where_the_deployment_allows_it_such_a_host_is_the_last_choice() -> None:
    wish = replace(WISH, any_disk=True)
    loose = a_host("loose", report=a_report(disk_limited=False, images=["image"]))

    assert chosen([loose, filled("strict", 15_000)], wish=wish) == "strict"
    assert chosen([loose, a_host("failing", failed_at=NOW)], wish=wish) == "failing"
    assert chosen([loose], wish=wish) == "loose"


def test_full_hosts_are_no_lack_of_limits() -> None:
    loose = a_report(disk_limited=False)
    for hosts in (
        [filled("strict", 16_000), a_host("loose", report=loose)],
        [a_host("loose", report=loose, reserved=Reserved(memory_mb=16_000))],
        [],
    ):
        with pytest.raises(NoCapacity) as raised:
            choose_host([hosts], WISH, NOW, Random(1).randrange)
        assert not isinstance(raised.value, NoLimits)


def test_of_those_looked_at_the_emptiest_is_chosen() -> None:
    assert chosen([filled("half", 8000), a_host("empty")]) == "empty"
    assert chosen([filled("half", 8000)], [a_host("empty")]) == "empty"


def test_a_host_with_the_image_is_preferred_until_it_is_nearly_full() -> None:
    warm = a_report(images=["image"])
    a_little_fuller = a_host("warm", report=warm, reserved=Reserved(memory_mb=1600))
    nearly_full = a_host("warm", report=warm, reserved=Reserved(memory_mb=14_000))

    assert chosen([a_little_fuller, a_host("cold")]) == "warm"
    assert chosen([nearly_full, a_host("cold")]) == "cold"


def test_a_host_that_failed_just_now_is_the_last_choice_and_still_one() -> None:
    failing = a_host("failing", failed_at=NOW - FAILING / 2)
    recovered = a_host("recovered", failed_at=NOW - FAILING)

    assert chosen([failing, filled("nearly full", 15_000)]) == "nearly full"
    assert chosen([failing], [recovered]) == "recovered"
    assert chosen([failing]) == "failing"


def test_of_many_hosts_only_few_are_looked_at() -> None:
    drawn: list[int] = []

    def choice(upto: int) -> int:
        drawn.append(upto)
        return upto - 1

    chosen([a_host(f"host-{number}") for number in range(500)], choice=choice)

    assert len(drawn) == 4


def test_no_more_groups_are_read_than_needed_and_not_all_of_a_full_fleet() -> None:
    read: Counter[str] = Counter()

    def groups(hosts: list[Host], name: str) -> Iterator[list[Host]]:
        for _ in range(100):
            read[name] += 1
            yield hosts

    choose_host(groups([a_host()], "with room"), WISH, NOW, Random(1).randrange)
    with pytest.raises(NoCapacity):
        choose_host(groups([filled("full", 16_000)], "full"), WISH, NOW, Random(1).randrange)

    assert read == {"with room": 2, "full": MOST_GROUPS}


def test_the_one_host_with_room_is_found_in_any_group() -> None:
    groups = [[filled(f"full-{group}-{number}", 16_000) for number in range(5)] for group in range(MOST_GROUPS)]
    for group in groups:
        group.append(a_host("room"))

        assert chosen(*groups) == "room"

        group.pop()


def test_containers_spread_over_hosts() -> None:
    random = Random(7)
    hosts = {f"h{n}": a_host(f"h{n}") for n in range(20)}
    placed: Counter[str] = Counter()
    for _ in range(200):
        host_id = chosen(list(hosts.values()), choice=random.randrange)
        placed[host_id] += 1
        held = Reserved(memory_mb=placed[host_id] * 512, containers=placed[host_id])
        hosts[host_id] = a_host(host_id, reserved=held)

    assert max(placed.values()) - min(placed.values()) <= 5


def test_a_report_keeps_the_catalogues_images_and_as_many_others_as_fit() -> None:
    known = [image.reference for image in catalogue.images().images]
    many = [f"registry.example.com/somebody/an-image-of-theirs:{number}" for number in range(300)]

    kept = brief(a_report(images=sorted(many + known))).images

    assert set(known) <= set(kept)
    assert len("".join(kept)) <= IMAGES_TEXT
    assert kept == sorted(kept)
    assert brief(a_report(images=known)).images == sorted(known)
