"""Creates racing for the last places: shipped code on moto's server goes in, what was admitted too much goes out."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chalicelib.domain import catalogue
from chalicelib.domain.errors import LimitReached
from chalicelib.domain.identity import Caller
from chalicelib.domain.request import ContainerRequest
from tests.aws import moto_server
from tests.builders import a_caller
from tests.figures.lost import IMAGE, Ground, ground_of
from tests.figures.measures import MOTO, Measure, Size

RACERS = 8
RACES_PER_STACK = 25
LIMIT = catalogue.tiers()["free"].containers


def measured(size: Size, data: Path) -> list[Measure]:
    """Many races of eight for one, two or three places."""
    over = under = 0
    with moto_server(data / "moto.log") as server, ThreadPoolExecutor(RACERS) as pool:
        for number in range(size.races):
            if number % RACES_PER_STACK == 0:
                ground = ground_of(server)
            admitted, places = _race(ground, pool, 1 + number % 3)
            over, under = over + max(0, admitted - places), under + max(0, places - admitted)
    how = (
        f"{size.races} races of {RACERS} threads for 1 to 3 places below a limit of {LIMIT}; records counted after each"
    )
    n = size.races * RACERS
    return [
        Measure("over-admission in racing creates", n, "creates", over, how, MOTO, least_n=1 if size.quick else 1000),
        Measure("places refused though free", n, "creates", under, how, MOTO),
    ]


def _race(ground: Ground, pool: ThreadPoolExecutor, places: int) -> tuple[int, int]:
    caller = a_caller(user_id=f"user-{uuid.uuid4()}")
    request = ContainerRequest(image=IMAGE)
    for _ in range(LIMIT - places):
        ground.lifecycle.create(caller, request, None)
    line = threading.Barrier(RACERS)
    granted = sum(pool.map(lambda _: _ask(ground, caller, request, line), range(RACERS)))
    live = len(ground.true.of_user(caller.user_id))
    assert live == LIMIT - places + granted, f"{granted} were granted, but {live} are there"
    return granted, places


def _ask(ground: Ground, caller: Caller, request: ContainerRequest, line: threading.Barrier) -> int:
    line.wait(30)
    try:
        ground.lifecycle.create(caller, request, None)
    except LimitReached:
        return 0
    return 1
