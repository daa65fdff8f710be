"""Two hosts, each with an engine of its own: lost and found again, cut off and mended; nothing is lost or doubled.

Leases are real, so the two stories pass their minutes side by side, each on a Berth of its own.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.ground.engine import Engine, PrivateEngine
from infra.ground.images import BaseImages
from infra.local.berth import Berth, BerthSettings, running_berth
from infra.local.engines import engines_at
from infra.local.hosts import LocalHost
from infra.local.wires import Wire
from tests.chaos.clients import Client, client_of, load_of
from tests.chaos.matrix import OPTIONS, SCHEDULE_SPEED
from tests.chaos.settled import Auditor, auditor_of
from tests.engines import CACHE, DATA, say
from tests.flow.conftest import RATES

pytestmark = pytest.mark.timeout(600)

LOST_SECONDS = 120
"""I4: a host's silence is told of its containers within this time."""

CREATES = 12
CUT_SECONDS = 15


@dataclass
class Two:
    """A Berth with two hosts and a user."""

    berth: Berth
    auditor: Auditor
    user: Client

    def on(self, host: LocalHost) -> list[str]:
        return [row["id"] for row in self.berth.operator("list-containers")["containers"] if row["host"] == host.id]

    def state(self, host: LocalHost) -> str:
        [state] = [row["state"] for row in self.berth.operator("list-hosts")["hosts"] if row["host_id"] == host.id]
        return str(state)

    def filled(self, count: int) -> list[str]:
        """So many running containers, and nothing under way."""
        load_of([self.user.create] * count).join()
        self.auditor.settle(lambda: list(self.user.statuses().values()) == ["running"] * count)
        return list(self.user.accepted)

    def until(self, found: Callable[[], object], seconds: float) -> float:
        """Seconds until it is so."""
        began = time.monotonic()
        while not found():
            assert time.monotonic() - began < seconds, "it never came about"
            time.sleep(0.5)
        return time.monotonic() - began


def power_lost(two: Two, engine: PrivateEngine) -> dict[str, Any]:
    """The second host loses its power; one of its containers is deleted meanwhile; then it is back."""
    ids = two.filled(6)
    one, other = two.berth.hosts.values()
    theirs = two.on(other)
    deleted, rest = theirs[0], theirs[1:]
    other.lose()
    engine.stop()
    two.user.delete(deleted)
    lost = two.until(lambda: {two.user.get(each)["status"] for each in rest} == {"stopped"}, LOST_SECONDS)
    reasons = {two.user.get(each)["stopped_because"]["code"] for each in rest}
    two.auditor.settle(lambda: two.user.last_event(deleted) == "deleted", unseen=(other.id,))
    state = two.state(other)
    engine.start(say)
    other.come_back()
    two.auditor.settle(lambda: two.state(other) == "up dev")
    afterwards = two.user.statuses()
    two.user.start(rest[0])
    two.auditor.settle(lambda: two.user.get(rest[0])["status"] == "running")
    return {
        "ids": ids, "here": two.on(one), "rest": rest, "lost": lost, "reasons": reasons, "state": state,
        "afterwards": afterwards,
    }  # fmt: skip


def cut_off(two: Two) -> dict[str, Any]:
    """The second host runs on, but neither calls nor events pass, until after its lease; one of its is deleted."""
    _, other = two.berth.hosts.values()
    ids = two.filled(6)
    theirs = two.on(other)
    deleted, rest = theirs[0], theirs[1:]
    for wire in wires(other):
        wire.cut()
    two.user.delete(deleted)
    lost = two.until(lambda: {two.user.get(each)["status"] for each in rest} == {"stopped"}, LOST_SECONDS)
    two.until(lambda: two.user.last_event(deleted) == "deleted", LOST_SECONDS)
    for wire in wires(other):
        wire.mend()
    two.auditor.settle(lambda: set(two.user.statuses().values()) == {"running"})
    return {"ids": ids, "deleted": deleted, "rest": rest, "lost": lost, "afterwards": two.user.statuses()}


def cut_during_creates(two: Two) -> dict[str, Any]:
    """Of one host the answers, to the other the calls and from its queues the answers are held back meanwhile."""
    one, other = two.berth.hosts.values()
    load = load_of([two.user.create] * CREATES)
    load.under_way(2)
    wires(one)[0].cut(requests=False)
    wires(other)[0].cut(answers=False)
    wires(other)[1].cut(requests=False)
    load.join()
    time.sleep(CUT_SECONDS)
    for wire in (*wires(one), *wires(other)):
        wire.mend()
    two.auditor.settle(lambda: "creating" not in two.user.statuses().values())
    statuses = two.user.statuses()
    hosts = [set(two.on(one)), set(two.on(other))]
    load_of([lambda each=each: two.user.delete(each) for each in statuses]).join()
    two.auditor.settle()
    two.user.accepted.clear()
    return {"afterwards": statuses, "hosts": hosts}


def wires(host: LocalHost) -> tuple[Wire, Wire]:
    """Calls to its agent, and its agent's to the queues."""
    assert host.calls is not None
    assert host.aws is not None
    return host.calls, host.aws


@contextlib.contextmanager
def two_hosts(data: Path, one: Engine, other: Engine) -> Iterator[Two]:
    settings = BerthSettings(
        data, hosts=2, environment=RATES, agent_options=OPTIONS, schedule_speed=SCHEDULE_SPEED, wired=True, keeps=True
    )
    with running_berth(settings, one, other) as berth:
        yield Two(berth, auditor_of(berth), client_of(berth))


@dataclass
class Stories:
    """What came of each, once it is over."""

    power_lost: "Future[dict[str, Any]]"
    cuts: "Future[tuple[dict[str, Any], dict[str, Any], set[str]]]"


@pytest.fixture(scope="module")
def stories(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    folder = tmp_path_factory.mktemp("hosts")
    private = PrivateEngine(DATA / "engine-lost")

    def of_power() -> dict[str, Any]:
        with two_hosts(folder / "power", engine, third) as two:
            return power_lost(two, private)

    def of_cuts() -> tuple[dict[str, Any], dict[str, Any], set[str]]:
        with two_hosts(folder / "cuts", engine, second) as two:
            return cut_during_creates(two), cut_off(two), two.auditor.doubles

    with engines_at(DATA / "second", 1, CACHE, say, private=True) as [second], ThreadPoolExecutor(2) as pool:
        third = private.start(say)
        try:
            with contextlib.closing(third.client()) as client:
                BaseImages(client, CACHE, say).ensure_bookworm()
            yield Stories(pool.submit(of_power), pool.submit(of_cuts))
        finally:
            pool.shutdown()
            private.stop()


def test_creates_during_a_partition_are_each_made_once(stories: Stories) -> None:
    during, _, doubles = stories.cuts.result()

    assert set(during["afterwards"].values()) == {"running"}
    assert len(during["afterwards"]) == CREATES
    assert all(during["hosts"]), "both hosts have some"
    assert doubles == set()


def test_a_host_that_was_cut_off_goes_on_and_what_was_deleted_meanwhile_is_removed(stories: Stories) -> None:
    _, cut, doubles = stories.cuts.result()

    assert cut["rest"], "the host had more than the one deleted"
    assert cut["lost"] <= LOST_SECONDS
    assert set(cut["afterwards"]) == set(cut["ids"]) - {cut["deleted"]}
    assert doubles == set()


def test_what_ran_on_a_lost_host_is_told_of_in_time_and_may_be_started_when_it_is_back(stories: Stories) -> None:
    lost = stories.power_lost.result()

    assert lost["rest"], "the host had more than the one deleted"
    assert lost["lost"] <= LOST_SECONDS
    assert lost["reasons"] == {"host_lost"}
    assert lost["state"] == "silent dev"
    expected = dict.fromkeys(lost["here"], "running") | dict.fromkeys(lost["rest"], "stopped")
    assert lost["afterwards"] == expected
