"""Limits: what gets through, what it costs in writes, and what happens when the store is away."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import RateLimited
from chalicelib.services.rates import KEYS, Limit, Limiter, Pulls, Rates, window_end
from tests.builders import NOW, a_caller
from tests.fakes.clock import FakeClock
from tests.fakes.rates import MemoryRates


def passed(limiter: Limiter, key: str, times: int) -> int:
    """How many of so many requests get through."""
    through = 0
    for _ in range(times):
        try:
            limiter.count(key)
        except RateLimited:
            continue
        through += 1
    return through


def a_limiter(
    most: int = 20, stride: int = 5, store: MemoryRates | None = None, clock: FakeClock | None = None
) -> Limiter:
    return Limiter(Limit("requests", most, 60, stride), store or MemoryRates(), clock or FakeClock())


@pytest.mark.parametrize("stride", [1, 5, 7, 100])
def test_one_process_lets_exactly_the_limit_through(stride: int) -> None:
    assert passed(a_limiter(20, stride), "key", 200) == 20


def test_a_refusal_says_when_the_window_ends_and_afterwards_all_begins_anew() -> None:
    clock = FakeClock(NOW + timedelta(seconds=12.5))
    limiter = a_limiter(3, clock=clock)
    passed(limiter, "key", 3)

    with pytest.raises(RateLimited) as refused:
        limiter.count("key")

    assert refused.value.retry_after == 48
    clock.advance(refused.value.retry_after)
    assert passed(limiter, "key", 10) == 3


def test_one_key_is_nothing_to_another() -> None:
    limiter = a_limiter(3)
    passed(limiter, "loud", 100)

    assert passed(limiter, "quiet", 3) == 3


@given(
    most=st.integers(1, 60),
    stride=st.integers(1, 12),
    processes=st.integers(1, 9),
    requests=st.integers(0, 400),
    seed=st.integers(0, 1000),
)
def test_processes_together_let_through_no_less_than_the_limit_and_little_more(
    most: int, stride: int, processes: int, requests: int, seed: int
) -> None:
    store, clock, chance = MemoryRates(), FakeClock(), random.Random(seed)
    limiters = [a_limiter(most, stride, store, clock) for _ in range(processes)]

    through = sum(passed(chance.choice(limiters), "key", 1) for _ in range(requests))

    assert through >= min(most, requests)
    assert through <= most + processes * (stride - 1)


def test_most_requests_cost_no_write_and_refused_ones_none_at_all() -> None:
    store = MemoryRates()
    limiter = a_limiter(500, 10, store)

    passed(limiter, "key", 9)
    assert store.writes == 0

    passed(limiter, "key", 491)
    assert store.writes == 50

    passed(limiter, "key", 5000)
    assert store.writes == 51


def test_a_store_that_is_away_refuses_nobody_that_this_process_alone_would_not() -> None:
    store = MemoryRates(down=True)
    limiter = a_limiter(20, 5, store)

    assert passed(limiter, "key", 100) == 20

    store.down = False
    assert passed(a_limiter(20, 5, store), "key", 100) == 20


def test_what_could_not_be_told_is_told_when_the_store_is_back() -> None:
    store = MemoryRates(down=True)
    limiter = a_limiter(20, 5, store)
    passed(limiter, "key", 7)

    store.down = False
    passed(limiter, "key", 3)

    assert list(store.counted.values()) == [10]


def test_the_memory_for_keys_is_bounded() -> None:
    limiter = a_limiter()
    for number in range(KEYS + 1):
        limiter.count(f"key-{number}")

    assert len(limiter._counts) == 1


def test_addresses_are_counted_by_their_hash_and_tokens_by_theirs() -> None:
    store = MemoryRates()
    rates = Rates(a_limiter(9, 1, store), Limiter(Limit("unauthenticated", 9, 60, 1), store, FakeClock()))

    rates.request(a_caller(token_hash="abc"))
    rates.unauthenticated("203.0.113.9")

    keys = [key for key, _ends in store.counted]
    assert keys[0] == "requests#abc"
    assert keys[1].startswith("unauthenticated#")
    assert "203.0.113.9" not in keys[1]


def test_a_retry_of_one_pull_is_no_second_pull() -> None:
    clock = FakeClock(NOW + timedelta(minutes=45))
    pulls = Pulls(MemoryRates(), clock, per_hour=2)

    waits = [pulls.wait_for("user", container) for container in ("a", "a", "b", "c", "a")]

    assert waits == [0, 0, 0, 900, 0]
    assert pulls.wait_for("somebody-else", "d") == 0
    clock.advance(900)
    assert pulls.wait_for("user", "c") == 0


def test_pulls_are_let_through_when_they_cannot_be_counted() -> None:
    assert Pulls(MemoryRates(down=True), FakeClock(), per_hour=0).wait_for("user", "a") == 0


def test_windows_end_alike_in_every_process() -> None:
    assert window_end(NOW, 60) == NOW + timedelta(seconds=60)
    assert window_end(NOW + timedelta(seconds=59.999), 60) == NOW + timedelta(seconds=60)
