"""`RateStore`: the same promises asked of memory and DynamoDB."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chalicelib.adapters.dynamodb.rates import DynamoRates
from chalicelib.domain.errors import Busy
from chalicelib.ports import RateStore
from tests.aws import Aws
from tests.builders import NOW
from tests.fakes.rates import MemoryRates

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def key() -> str:
    return f"requests#{uuid.uuid4().hex}"


@pytest.fixture(params=["memory", "dynamodb"])
def rates(request: pytest.FixtureRequest) -> RateStore:
    if request.param == "memory":
        return MemoryRates()
    aws: Aws = request.getfixturevalue("stack")
    return DynamoRates(aws.client("dynamodb"), aws.table("tokens"))


@pytest.fixture(params=["memory", "dynamodb"])
def unreachable(request: pytest.FixtureRequest) -> RateStore:
    if request.param == "memory":
        return MemoryRates(down=True)
    aws: Aws = request.getfixturevalue("stack")
    return DynamoRates(aws.client("dynamodb"), aws.table("no-such-table"))


def test_a_count_is_the_total_of_all_that_was_added_in_its_window(rates: RateStore, key: str) -> None:
    assert rates.add(key, NOW, 3) == 3
    assert rates.add(key, NOW, 4) == 7
    assert rates.add(key, LATER, 1) == 1
    assert rates.add(f"{key}x", NOW, 1) == 1


def test_no_addition_is_lost_when_twenty_add_at_once(rates: RateStore, key: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        totals = sorted(pool.map(lambda _: rates.add(key, NOW, 10), range(20)))

    assert totals == list(range(10, 210, 10))


def test_the_first_few_members_are_admitted_and_stay_so(rates: RateStore, key: str) -> None:
    admitted = [rates.admit(key, NOW, member, 2) for member in ("a", "b", "c", "a", "b", "c")]

    assert admitted == [True, True, False, True, True, False]
    assert rates.admit(key, LATER, "c", 2)


def test_twenty_at_once_are_admitted_no_more_than_allowed(rates: RateStore, key: str) -> None:
    with ThreadPoolExecutor(20) as pool:
        admitted = list(pool.map(lambda number: rates.admit(key, NOW, f"member-{number}", 5), range(20)))

    assert admitted.count(True) == 5


def test_a_store_that_cannot_count_says_busy(unreachable: RateStore, key: str) -> None:
    with pytest.raises(Busy):
        unreachable.add(key, NOW, 1)
    with pytest.raises(Busy):
        unreachable.admit(key, NOW, "a", 1)
