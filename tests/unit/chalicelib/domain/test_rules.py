"""Names, secrets, placement and tiers."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest

from chalicelib.contract.resources import Resources
from chalicelib.domain import catalogue, secrets
from chalicelib.domain.errors import NoCapacity
from chalicelib.domain.host import Reserved
from chalicelib.domain.names import ADJECTIVES, NOUNS, generated_name
from chalicelib.domain.placement import choose_host
from tests.builders import NOW, a_host, a_report

SMALL = Resources(memory_mb=512, cpu_shares=500, disk_mb=1024)


def test_generated_names_have_many_words_and_the_documented_shape() -> None:
    random = Random(1)
    names = {generated_name(random.randrange) for _ in range(2000)}

    assert len(set(ADJECTIVES)) == len(set(NOUNS)) == 40
    assert len(names) > 1950


def test_a_secret_is_well_formed_and_every_typing_error_is_seen() -> None:
    secret = secrets.new_secret("berth_", bytes(range(32)))

    assert secrets.well_formed(secret, "berth_")
    assert len(secret) == 55
    for place in range(len(secret)):
        for wrong in "aZ0_":
            if secret[place] != wrong:
                broken = secret[:place] + wrong + secret[place + 1 :]
                assert not secrets.well_formed(broken, "berth_"), place


def test_secrets_of_two_randoms_differ_and_their_hashes_say_nothing() -> None:
    one, two = (secrets.new_secret("berth_", bytes([n] * 32)) for n in (0, 255))

    assert one != two
    assert secrets.hash_of(one) not in one
    assert len(secrets.hash_of(one)) == 64


def test_without_a_host_there_is_no_capacity() -> None:
    with pytest.raises(NoCapacity):
        choose_host([], SMALL, "image", NOW, lambda _n: 0)


def test_hosts_that_cannot_take_it_are_not_chosen() -> None:
    hosts = [
        a_host("silent", received_at=NOW - timedelta(seconds=61)),
        a_host("new", report=None),
        a_host("draining", report=a_report(draining=True)),
        a_host("down", report=a_report(engine_up=False)),
        a_host("full", report=a_report(memory_mb=100)),
        a_host("many", report=a_report(max_containers=3), reserved=Reserved(containers=3)),
        a_host("good"),
    ]

    for seed in range(20):
        assert choose_host(hosts, SMALL, "image", NOW, Random(seed).randrange).id == "good"


def test_of_two_the_emptier_is_chosen() -> None:
    hosts = [a_host("half", reserved=Reserved(memory_mb=8000)), a_host("empty")]

    assert choose_host(hosts, SMALL, "image", NOW, _both()).id == "empty"


def _both() -> Callable[[int], int]:
    numbers = iter([0, 1])
    return lambda _n: next(numbers)


def test_a_host_with_the_image_is_preferred_until_it_is_nearly_full() -> None:
    warm = a_report(images=["image"])
    a_little_fuller = a_host("warm", report=warm, reserved=Reserved(memory_mb=1600))
    nearly_full = a_host("warm", report=warm, reserved=Reserved(memory_mb=14_000))

    assert choose_host([a_little_fuller, a_host("cold")], SMALL, "image", NOW, _both()).id == "warm"
    assert choose_host([nearly_full, a_host("cold")], SMALL, "image", NOW, _both()).id == "cold"


def test_containers_spread_over_hosts() -> None:
    random = Random(7)
    hosts = {f"h{n}": a_host(f"h{n}") for n in range(20)}
    placed: Counter[str] = Counter()
    for _ in range(200):
        chosen = choose_host(list(hosts.values()), SMALL, "image", NOW, random.randrange)
        placed[chosen.id] += 1
        held = Reserved(memory_mb=placed[chosen.id] * 512, containers=placed[chosen.id])
        hosts[chosen.id] = a_host(chosen.id, reserved=held)

    assert max(placed.values()) - min(placed.values()) <= 5


def test_the_tiers_are_those_of_the_contract() -> None:
    table = {
        name: (tier.containers, tier.session_seconds, tier.memory_mb.default, tier.cpu_shares.most, tier.disk_mb.least)
        for name, tier in catalogue.tiers().items()
    }

    assert table == {
        "guest": (1, 3600, 512, 500, 1024),
        "free": (5, 180_000, 2048, 4000, 1024),
        "pro": (10, None, 4096, 8000, 1024),
        "enterprise": (20, None, 8192, 16000, 1024),
    }
