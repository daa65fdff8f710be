"""Measures through real HTTP: a local cloud without hosts goes in; connections cut, races and an abuser come out.

Nothing is ever made of what is accepted here, so that many creates cost no container.
"""

import random
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.chaos.clients import SMALL, Client, client_of
from tests.figures.admission import LIMIT, RACERS
from tests.figures.measures import REAL, Measure, Size
from tests.flow.conftest import RATES

PER_MINUTE = 60
"""Requests of one token; small, so that ten times as many are soon made."""

LIMITS = {"BERTH_REQUESTS_PER_MINUTE": str(PER_MINUTE), "BERTH_RATE_STRIDE": "5"}
PER_USER = 20
ABUSE_SECONDS = 60.0


def measured(size: Size, engines: Sequence[Engine], data: Path, say: Callable[[str], None]) -> list[Measure]:
    """All of them, on one cloud."""
    settings = BerthSettings(data / "gateway", hosts=0, environment=RATES | LIMITS)
    with running_berth(settings, engines[0]) as berth:
        say("connections are cut after the request")
        cut = _cut(size, berth)
        say("creates race for one place")
        raced = _races(size, berth)
        say("an abuser asks ten times as often as it may")
        return [cut, raced, _abuse(size, berth)]


# --- connections that are cut ---


def _cut(size: Size, berth: Berth) -> Measure:
    doubled = 0
    for first in range(0, size.cut_answers, PER_USER):
        client = client_of(berth)
        marks = [str(number) for number in range(first, min(first + PER_USER, size.cut_answers))]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda mark, client=client: _ask_and_hang_up(berth, client, mark), marks))
        made = [item["labels"]["request"] for item in _items(client)]
        assert set(made) == set(marks), f"asked for {marks}, there are {made}"
        doubled += len(made) - len(set(made))
        _clear(client)
    how = "the client hangs up 0 to 80 ms after its request, unanswered, and asks again with its key until answered"
    least = 1 if size.quick else 200
    return Measure("duplicates after a cut connection and a retry", size.cut_answers, "creates", doubled, how, REAL,
                   least_n=least)  # fmt: skip


def _ask_and_hang_up(berth: Berth, client: Client, mark: str) -> None:
    key, body = str(uuid.uuid4()), SMALL | {"labels": {"request": mark}}
    request = client.http.build_request("POST", "/containers", json=body, headers={"Idempotency-Key": key})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    address = urlsplit(berth.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        time.sleep(random.uniform(0, 0.08))
    while not _answered(client, body, key):
        time.sleep(0.2)


def _answered(client: Client, body: dict[str, object], key: str) -> bool:
    """Whether the same request, asked again, was granted; a slow or passing refusal is asked again."""
    try:
        answer = client.http.post("/containers", json=body, headers={"Idempotency-Key": key})
    except httpx.HTTPError:
        return False
    assert answer.status_code in (202, 429, 502, 503, 504), answer.text
    return answer.status_code == 202


def _items(client: Client) -> list[dict[str, dict[str, str]]]:
    return list(client.http.get("/containers", timeout=60).json()["containers"])


def _clear(client: Client) -> None:
    for container_id in client.statuses():
        client.delete(container_id)


# --- races ---


def _races(size: Size, berth: Berth) -> Measure:
    over = 0
    for _ in range(size.http_races):
        client = client_of(berth, "free")
        for _ in range(LIMIT - 1):
            client.create()
        line = threading.Barrier(RACERS)
        with ThreadPoolExecutor(RACERS) as pool:
            statuses = list(pool.map(lambda _, client=client, line=line: _racer(client, line), range(RACERS)))
        over += max(0, statuses.count(202) - 1, len(client.statuses()) - LIMIT)
        _clear(client)
    how = f"{size.http_races} races of {RACERS} connections for the last place"
    return Measure("over-admission in racing creates", size.http_races * RACERS, "creates", over, how, REAL)


def _racer(client: Client, line: threading.Barrier) -> int:
    line.wait(30)
    return client.http.post("/containers", json=SMALL, timeout=60).status_code


# --- an abuser ---


def _abuse(size: Size, berth: Berth) -> Measure:
    """The others ask within their limits, spread over the time; every answer but 200 is a failure."""
    others = [client_of(berth, "free") for _ in range(size.others)]
    abuser, served, abused = client_of(berth, "free"), Counter[int](), Counter[int]()
    seconds = 3.0 if size.quick else ABUSE_SECONDS
    begins = time.monotonic() + 0.5
    works = [lambda each=each, count=size.each: _asking(each, count, seconds, begins, served) for each in others]
    per_thread = int(10 * PER_MINUTE * seconds / 60 / 2)
    works += [lambda: _asking(abuser, per_thread, seconds, begins, abused)] * 2
    with ThreadPoolExecutor(len(works)) as pool:
        for each in [pool.submit(work) for work in works]:
            each.result()
    failed = served.total() - served[200]
    how = (
        f"{size.others} users with {size.each} requests each within their limit of {PER_MINUTE} a minute; beside them "
        f"one asks {abused.total()} times"
    )
    note = f"{1 - failed / served.total():.2%} served; the abuser: {abused[200]} served, {abused[429]} refused"
    total = served.total()
    return Measure("requests of others not served beside an abuser", total, "requests", failed, how, REAL,
                   most=total // 1000, least_n=1 if size.quick else 2000, note=note)  # fmt: skip


def _asking(client: Client, count: int, seconds: float, begins: float, answers: "Counter[int]") -> None:
    for number in range(count):
        time.sleep(max(0.0, begins + number * seconds / count - time.monotonic()))
        try:
            status = client.http.get("/containers").status_code
        except httpx.HTTPError:
            status = 0
        answers[status] += 1
