"""One user at ten times the limit: the others notice nothing, and the abuser is told when to come back."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from infra.ground.engine import Engine
from infra.local.berth import CONCURRENCY, Berth, BerthSettings, running_berth
from tests.flow.conftest import QUICK, RATES, User

LIMIT = 60
"""Requests a minute and token; small, so that ten times as many are soon made."""

STRIDE = 5
OTHERS = 24
EACH = 45
"""Requests of each of the others: within their own limit, and together more than a thousand."""


@pytest.fixture(scope="module")
def berth(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Berth]:
    limits = {"BERTH_REQUESTS_PER_MINUTE": str(LIMIT), "BERTH_RATE_STRIDE": str(STRIDE)}
    limits |= {"BERTH_CREATES_PER_MINUTE": "5", "BERTH_CREATES_PER_SECOND": "5"}
    settings = BerthSettings(tmp_path_factory.mktemp("abuse"), environment=RATES | limits, agent_options=QUICK)
    with running_berth(settings, engine) as running:
        yield running


@pytest.fixture
def new_user(berth: Berth) -> Iterator[Callable[..., User]]:
    with ExitStack() as clients:

        def make(tier: str = "free") -> User:
            made = berth.new_user(tier)
            headers = {"Authorization": f"Bearer {made['token']}"}
            client = httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False)
            return User(berth, made["user_id"], made["token"], clients.enter_context(client))

        yield make


def start_of_a_minute() -> None:
    """Limits count by the minute: begin with one."""
    left = 60 - time.time() % 60
    if left < 45:
        time.sleep(left + 0.2)


def in_threads(*works: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_an_abuser_at_ten_times_the_limit_leaves_the_others_alone(new_user: Callable[..., User]) -> None:
    abuser, others = new_user(), [new_user() for _ in range(OTHERS)]
    refused: list[httpx.Response] = []
    abused: Counter[int] = Counter()
    served: Counter[int] = Counter()
    lock = threading.Lock()

    def abuse() -> None:
        for _ in range(10 * LIMIT // 2):
            answer = abuser.http.get("/containers")
            with lock:
                abused[answer.status_code] += 1
                refused.extend([answer] if answer.status_code == 429 else [])

    def work(other: User) -> Callable[[], None]:
        def requests() -> None:
            for _ in range(EACH):
                answer = other.http.get("/containers")
                with lock:
                    served[answer.status_code] += 1
                time.sleep(0.5)

        return requests

    start_of_a_minute()
    began = time.time() // 60
    in_threads(abuse, abuse, *(work(other) for other in others))
    minutes = int(time.time() // 60 - began) + 1

    assert served == {200: OTHERS * EACH}
    assert set(abused) == {200, 429}
    assert abused[200] <= minutes * (LIMIT + CONCURRENCY["api_handler"] * (STRIDE - 1))
    assert abused[429] >= 10 * LIMIT - minutes * (LIMIT + CONCURRENCY["api_handler"] * (STRIDE - 1))
    for answer in refused:
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.json()["retry_after"] == int(answer.headers["Retry-After"])


def test_an_abuser_of_creating_leaves_the_others_their_containers(new_user: Callable[..., User]) -> None:
    abuser, other = new_user(), new_user()
    statuses: Counter[int] = Counter()
    made: list[dict[str, Any]] = []

    def abuse() -> None:
        for _ in range(50):
            statuses[abuser.http.post("/containers", json={"image": "no-such-image"}).status_code] += 1

    def work() -> None:
        for _ in range(2):
            made.append(other.create())
            time.sleep(1)

    in_threads(abuse, work)

    assert set(statuses) == {400, 429}
    assert statuses[429] >= 40
    for container in made:
        assert other.until(container["id"], "running", "error")["status"] == "running"
        assert other.http.delete(f"/containers/{container['id']}").status_code == 200
