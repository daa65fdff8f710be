"""Tags that move: what is used stays what it was until the newer one is there, and nobody waits for either."""

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from infra.hostagent.images.pulls import Pulls
from infra.hostagent.ports import EngineImage
from infra.hostagent.registry.errors import Unanswered
from infra.hostagent.registry.pins import pin_of
from infra.hostagent.registry.refresh import LATEST_SECONDS, RETRY_SECONDS, Refresh
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.pulling import Bench, pulling
from tests.fakes.registry import tar_layer

SOON = 0.05
DAY = 86_400.0


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Every tag is to be asked about again after a moment."""
    with pulling(SOON) as found:
        yield found


def eventually(so: Callable[[], bool], seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def image(bench: Bench, name: str) -> EngineImage | None:
    return bench.engine.image(f"{bench.registry.address}/{name}")


def used(bench: Bench, name: str) -> str | None:
    """What a container is made from that is created now."""
    return Pulls(bench.engine, 1, 5, bench.source).find(a_spec(image=f"{bench.registry.address}/{name}"))


def means(bench: Bench, name: str) -> str | None:
    found = image(bench, name)
    return found.digest if found else None


def test_a_tag_that_has_moved_is_given_to_the_next_who_comes(bench: Bench) -> None:
    old = bench.registry.image("a/b", "1", tar_layer(x=b"old"))
    bench.pull("a/b:1")
    before = image(bench, "a/b:1")
    new = bench.registry.image("a/b", "1", tar_layer(x=b"new"))
    time.sleep(SOON)

    assert before is not None
    assert used(bench, "a/b:1") == before.id
    eventually(lambda: means(bench, "a/b:1") == new)
    assert used(bench, "a/b:1") != before.id
    assert bench.engine.image(pin_of(old)) == EngineImage(before.id, old)


def test_a_tag_that_has_not_moved_costs_one_question_and_no_pull(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"y"))
    bench.pull("a/b:1")
    time.sleep(SOON)
    bench.registry.seen.clear()

    used(bench, "a/b:1")
    eventually(lambda: bool(bench.registry.seen))
    time.sleep(SOON / 2)

    assert [(path, headers["method"]) for path, headers in bench.registry.seen] == [("/v2/a/b/manifests/1", "HEAD")]
    assert len(bench.engine.addresses) == 1


def test_a_registry_that_says_no_digest_is_read(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"old"))
    bench.pull("a/b:1")
    new = bench.registry.image("a/b", "1", tar_layer(x=b"new"))
    for answer in bench.registry.answers.values():
        answer.headers.pop("Docker-Content-Digest", None)
    time.sleep(SOON)

    used(bench, "a/b:1")

    eventually(lambda: means(bench, "a/b:1") == new)


def test_the_same_image_in_another_index_has_one_digest(bench: Bench) -> None:
    part = bench.registry.image("a/b", "linux", tar_layer(x=b"y"))
    old = bench.registry.index("a/b", "1", part)
    bench.pull("a/b:1")
    new = bench.registry.index("a/b", "1", part, variant="v8")
    time.sleep(SOON)

    used(bench, "a/b:1")

    eventually(lambda: means(bench, "a/b:1") == new)
    assert bench.engine.image(pin_of(old, f"{bench.registry.address}/a/b:1")) is None


def test_a_registry_that_is_gone_or_refuses_changes_nothing(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"y"))
    bench.pull("a/b:1")
    before = image(bench, "a/b:1")
    time.sleep(SOON)
    bench.registry.answers.clear()
    bench.registry.seen.clear()

    assert used(bench, "a/b:1") == (before.id if before else "")
    eventually(lambda: bool(bench.registry.seen))
    time.sleep(SOON)

    assert image(bench, "a/b:1") == before


def test_who_waits_for_a_pull_comes_first_and_the_refresh_is_begun_again_by_the_next_use(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"old"))
    bench.registry.image("c/d", "1", tar_layer(x=b"other"))
    bench.pull("a/b:1")
    new = bench.registry.image("a/b", "1", tar_layer(x=b"new"), tar_layer(x=b"newer"), tar_layer(x=b"newest"))
    time.sleep(SOON)

    bench.registry.slowly = 0.3
    used(bench, "a/b:1")
    eventually(lambda: len(bench.engine.addresses) == 2)
    bench.registry.slowly = 0
    bench.pull("c/d:1")

    assert bench.engine.given_up == [bench.engine.addresses[1]]
    assert means(bench, "a/b:1") != new
    eventually(lambda: used(bench, "a/b:1") is not None and means(bench, "a/b:1") == new)


class Questions:
    """A refresh whose registry says what a test wants, whenever the test says it is."""

    def __init__(self, seconds: float) -> None:
        self.engine = FakeEngine(present={"own:1"})
        for name in ("a/b:1", "a/b:latest"):
            self.engine.tag("own:1", name)
            self.engine.tag("own:1", pin_of(OLD, name))
        self.at = 0.0
        self.asked: list[str] = []
        self.refresh = Refresh(self.engine, self._latest, self._have, seconds, lambda: self.at)
        self.answers = True

    def _latest(self, reference: str) -> str:
        self.asked.append(reference)
        if not self.answers:
            raise Unanswered
        return OLD

    def _have(self, reference: str, _begun: object) -> Generator[dict[str, Any], None, None]:
        raise AssertionError(reference)

    def used_at(self, at: float, name: str) -> int:
        """Use it then; how often its registry has been asked once nothing more is to be."""
        self.at = at
        self.refresh.used(name)
        eventually(lambda: not self.refresh.busy)
        return len(self.asked)


OLD = "sha256:" + "a" * 64


@pytest.mark.parametrize(("name", "between"), [("a/b:1", DAY), ("a/b", LATEST_SECONDS), ("a/b:latest", LATEST_SECONDS)])
def test_a_tag_is_asked_about_once_a_day_and_latest_more_often(name: str, between: float) -> None:
    questions = Questions(DAY)

    counts = [questions.used_at(at, name) for at in (0, 1, between - 1, between, between + 1)]

    assert counts == [1, 1, 1, 2, 2]


def test_a_registry_that_does_not_answer_is_left_alone_for_a_while() -> None:
    questions = Questions(DAY)
    questions.answers = False

    assert [questions.used_at(at, "a/b:1") for at in (0, RETRY_SECONDS - 1, RETRY_SECONDS)] == [1, 1, 2]


@pytest.mark.parametrize("name", ["own:1", "not-here:1", f"a/b@{OLD}", f"a/b:1@{OLD}"])
def test_what_is_no_pinned_tag_is_never_asked_about(name: str) -> None:
    assert Questions(DAY).used_at(0, name) == 0


def test_tags_stay_as_they_are_where_the_operator_wants_it_so() -> None:
    assert Questions(0).used_at(0, "a/b:1") == 0


def test_a_pull_that_has_just_been_is_an_answer() -> None:
    questions = Questions(DAY)
    questions.refresh.asked("a/b:1")

    assert [questions.used_at(at, "a/b:1") for at in (1, DAY)] == [0, 1]


def test_nothing_is_asked_while_somebody_waits_for_a_pull() -> None:
    questions = Questions(DAY)
    questions.refresh.make_way()
    questions.refresh.used("a/b:1")
    time.sleep(0.1)
    assert questions.asked == []

    questions.refresh.way_is_free()

    eventually(lambda: questions.asked == ["a/b:1"])
