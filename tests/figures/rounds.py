"""Rounds of real kills: engines come in; creates and deletes meet SIGKILLs, and what is left comes out."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from chalicelib.domain.differences import Kind
from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.chaos.clients import Client, client_of, load_of
from tests.chaos.faults import FUNCTIONS, pids_of
from tests.chaos.matrix import OPTIONS
from tests.chaos.settled import Auditor, auditor_of
from tests.figures.followers import Follower
from tests.figures.measures import REAL, Measure, Size
from tests.flow.conftest import RATES

PER_USER = 20
SCHEDULE_SPEED = 10.0
PAUSES = (0.5, 2.0)
AGENT_SHARE = 0.1
"""Of the kills; the rest hits functions."""


@dataclass
class Count:
    """What came of the rounds."""

    rounds: int = 0
    operations: int = 0
    kills: "Counter[str]" = field(default_factory=Counter)
    orphans: int = 0
    under_way: int = 0
    """Records still on their way when orphans were counted: their message waits out the queue's minute."""


def measured(size: Size, engines: Sequence[Engine], data: Path, say: Callable[[str], None]) -> list[Measure]:
    """Rounds until the time is over; then everything is deleted, and the books must agree."""
    settings = BerthSettings(
        data / "rounds", hosts=1 if size.quick else 2, environment=RATES, agent_options=OPTIONS,
        schedule_speed=SCHEDULE_SPEED, keeps=True,
    )  # fmt: skip
    with running_berth(settings, *engines) as berth:
        users = max(1, size.round_size // PER_USER)
        groups = [[client_of(berth) for _ in range(users)] for _ in range(2)]
        followers = [Follower(berth, client) for group in groups for client in group]
        threads = [each.begin() for each in followers]
        try:
            count, auditor = Count(), auditor_of(berth)
            _play(size, berth, groups, auditor, count, say)
            say("everything is deleted, and the books are compared")
            left = _end(groups, auditor)
        finally:
            for each in followers:
                each.over.set()
            for thread in threads:
                thread.join()
        return _measures(size, count, followers, left, auditor)


def _play(
    size: Size, berth: Berth, groups: list[list[Client]], auditor: Auditor, count: Count, say: Callable[[str], None]
) -> None:
    """One group creates while the other deletes, in turns."""
    ends = time.monotonic() + 60 * size.minutes
    while count.rounds < 1 or time.monotonic() < ends:
        makers, enders = groups if count.rounds % 2 == 0 else groups[::-1]
        each = size.round_size // len(makers)
        calls: list[Callable[[], object]] = [maker.create for maker in makers for _ in range(each)]
        calls += [partial(ender.delete, container_id) for ender in enders for container_id in ender.statuses()]
        random.shuffle(calls)
        with _killing(berth, count, quick=size.quick):
            load_of(calls).join()
        time.sleep(size.wait_seconds)
        _, found = auditor.look()
        count.rounds += 1
        count.operations += len(calls)
        count.orphans += sum(difference.kind is Kind.ORPHAN for difference in found)
        count.under_way += sum(difference.kind is Kind.UNFINISHED for difference in found)
        say(f"round {count.rounds}: {count.operations} creates and deletes, {count.kills.total()} kills, "
            f"{count.orphans} orphans, {count.under_way} still on their way")  # fmt: skip


@contextlib.contextmanager
def _killing(berth: Berth, count: Count, *, quick: bool) -> Iterator[None]:
    """SIGKILL something at random again and again while the block runs."""
    over = threading.Event()
    functions = ["api"] if quick else list(FUNCTIONS)

    def kill() -> None:
        while not over.wait(random.uniform(*PAUSES)):
            target = "agent" if random.random() < AGENT_SHARE else random.choice(functions)
            pids = pids_of(berth, target)
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(pids), signal.SIGKILL)
                    count.kills[target] += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end(groups: list[list[Client]], auditor: Auditor) -> "Counter[str]":
    """Delete all, let sweeps pass; the differences that remain, by kind."""
    for client in [client for group in groups for client in group]:
        load_of([partial(client.delete, container_id) for container_id in client.statuses()]).join()
    with contextlib.suppress(AssertionError):
        auditor.settle()
    return Counter(difference.kind.value for difference in auditor.look()[1])


def _measures(
    size: Size, count: Count, followers: list[Follower], left: "Counter[str]", auditor: Auditor
) -> list[Measure]:
    books, _ = auditor.look()
    kills = ", ".join(f"{number} {name}" for name, number in count.kills.most_common())
    how = f"{count.rounds} rounds on the local stack with real engines; SIGKILL of random processes ({kills})"
    heard, drops = sum(each.heard for each in followers), sum(each.drops for each in followers)
    compared = f"{len(books.records)} records, {sum(len(held) for held in (books.holdings or {}).values())} containers"
    return [
        Measure(
            f"orphans {size.wait_seconds:.0f} s after SIGKILL", count.operations, "creates and deletes", count.orphans,
            how, REAL, note=f"{count.kills.total()} kills; {count.under_way} records were still on their way then",
        ),
        Measure("containers seen twice at one time", count.operations, "creates and deletes", len(auditor.doubles), how,
                REAL),
        Measure("order errors and gaps after catch-up", heard, "frames heard", sum(each.errors() for each in followers),
                f"{len(followers)} sockets that broke {drops} times; logs compared whole", REAL),
        Measure("records without containers, containers without records, after a sweep", count.operations,
                "creates and deletes", left.total(), "everything deleted; the audit of all books at the end", REAL,
                note=", ".join([f"compared: {compared}", *(f"{number} {kind}" for kind, number in left.items())])),
    ]  # fmt: skip
