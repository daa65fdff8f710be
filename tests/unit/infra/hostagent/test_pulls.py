"""Pulls on an engine whose words the test says: shared, bounded, given up, and never in anybody's way."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.hostagent.failures import PullTimedOut, TimedOut
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.ports import EngineDown, EngineRefused
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine

END = {"status": "Status: Downloaded newer image"}


class SpokenEngine(FakeEngine):
    """Each pull says what is put in its queue, until the end, an error, or for ever nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, queue.Queue[dict[str, Any] | Exception]] = {}
        self.pulled: list[str] = []

    def say(self, image: str, *words: dict[str, Any] | Exception) -> None:
        for word in words:
            self.words.setdefault(image, queue.Queue()).put(word)

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        self.pulled.append(reference)
        said = self.words.setdefault(reference, queue.Queue())
        while True:
            word = said.get()
            if isinstance(word, Exception):
                raise word
            if word is END:
                self.present.add(reference)
            yield word
            if word is END:
                return


class NotWanted(Exception):
    """What a waiter raises who has gone."""


def part(current: int) -> dict[str, Any]:
    return {"id": "layer", "status": "Downloading", "progressDetail": {"current": current, "total": 100}}


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[Exception]]:
    errors: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    return thread, errors


def soon() -> float:
    return time.monotonic() + 5


def nothing(*_: Any) -> None:
    """Wanted, and not listening."""


def taken_by(heard: list[int]) -> Callable[[int, str], None]:
    return lambda percent, _message: heard.append(percent)


def test_all_who_wait_for_an_image_share_one_pull_and_hear_it_rise() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=5)
    heard: list[list[int]] = [[], []]
    waiters = [
        in_background(lambda each=each: pulls.wait(a_spec(image="i:1"), soon(), taken_by(each), nothing))
        for each in heard
    ]
    for current in (20, 60, 100):
        engine.say("i:1", part(current))
        time.sleep(0.25)
    engine.say("i:1", END)

    for thread, errors in waiters:
        thread.join(2)
        assert (thread.is_alive(), errors) == (False, [])
    assert engine.pulled == ["i:1"]
    assert all(each == sorted(set(each)) and len(each) >= 3 for each in heard)


def test_an_error_reaches_all_who_wait() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=5)
    waiters = [in_background(lambda: pulls.wait(a_spec(image="i:1"), soon(), nothing, nothing)) for _ in range(2)]
    time.sleep(0.05)
    engine.say("i:1", EngineRefused("manifest unknown"))

    for thread, errors in waiters:
        thread.join(2)
        assert [type(error) for error in errors] == [EngineRefused]


def test_the_next_who_asks_after_a_failure_begins_anew() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=5)
    engine.say("i:1", EngineRefused("dial tcp: i/o timeout"))
    with pytest.raises(EngineRefused):
        pulls.wait(a_spec(image="i:1"), soon(), nothing, nothing)

    engine.say("i:1", END)
    pulls.wait(a_spec(image="i:1"), soon(), nothing, nothing)

    assert engine.pulled == ["i:1", "i:1"]


def test_who_is_no_longer_wanted_is_let_go_though_the_registry_says_nothing() -> None:
    pulls = Pulls(SpokenEngine(), parallel=1, seconds=60)
    wanted = threading.Event()
    wanted.set()

    def check() -> None:
        if not wanted.is_set():
            raise NotWanted

    thread, errors = in_background(lambda: pulls.wait(a_spec(image="i:1"), soon() + 60, nothing, check))
    time.sleep(0.05)
    wanted.clear()
    thread.join(1)

    assert [type(error) for error in errors] == [NotWanted]


@pytest.mark.parametrize(("pull", "left", "error"), [(0.2, 60.0, PullTimedOut), (60.0, 0.2, TimedOut)])
def test_silence_is_ended_by_whichever_limit_comes_first(pull: float, left: float, error: type[Exception]) -> None:
    pulls = Pulls(SpokenEngine(), parallel=1, seconds=pull)
    began = time.monotonic()

    with pytest.raises(error):
        pulls.wait(a_spec(image="i:1"), time.monotonic() + left, nothing, nothing)

    assert time.monotonic() - began < 1


def test_a_registry_is_blamed_for_its_silence_also_when_the_engine_gives_up_first() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=0.1)
    threading.Timer(0.15, lambda: engine.say("i:1", EngineDown("ReadTimeout"))).start()

    with pytest.raises(PullTimedOut):
        pulls.wait(a_spec(image="i:1"), soon(), nothing, nothing)

    engine.say("j:1", EngineDown("ConnectionRefused"))
    with pytest.raises(EngineDown):
        Pulls(engine, parallel=1, seconds=5).wait(a_spec(image="j:1"), soon(), nothing, nothing)


def test_a_pull_that_was_given_up_is_in_nobodys_way() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=0.2)
    for _ in range(3):
        with pytest.raises(PullTimedOut):
            pulls.wait(a_spec(image="silent:1"), soon(), nothing, nothing)

    engine.say("good:1", END)
    pulls.wait(a_spec(image="good:1"), soon(), nothing, nothing)

    assert engine.pulled[-1] == "good:1"
    assert [call for call in engine.calls if call != "image"] == ["give_up silent:1"] * 3


def test_pulls_beyond_the_limit_wait_for_their_turn_without_being_blamed() -> None:
    engine = SpokenEngine()
    pulls = Pulls(engine, parallel=1, seconds=0.6)
    first, first_errors = in_background(lambda: pulls.wait(a_spec(image="first:1"), soon(), nothing, nothing))
    time.sleep(0.05)
    engine.say("second:1", END)
    second, second_errors = in_background(lambda: pulls.wait(a_spec(image="second:1"), soon(), nothing, nothing))
    time.sleep(0.4)
    assert engine.pulled == ["first:1"]

    engine.say("first:1", END)
    first.join(2)
    second.join(2)

    assert engine.pulled == ["first:1", "second:1"]
    assert first_errors == second_errors == []
