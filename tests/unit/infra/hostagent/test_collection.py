"""Images that nobody needs go when the disk is full, the longest unused first, and nothing else ever does."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.hostagent.images.collection import IDLE_SECONDS, Collection, HeldImage
from infra.hostagent.ports import EngineDown, EngineRefused
from infra.hostagent.registry.pins import pin_of
from tests.fakes.runtime import StillRuntime

DEBIAN, ALPINE = "debian:bookworm", "alpine:latest"


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def pulled(image: str, letter: str, *, named: bool = True, parent: str = "") -> HeldImage:
    """As it is after a pull; no longer `named` once its tag has moved on."""
    names = (pin_of(digest(letter)), *((pin_of(digest(letter), image), image) if named else ()))
    return HeldImage(digest(letter), parent, names)


@dataclass
class MemoryShelf:
    """`collection.Shelf`; each image takes a tenth of the disk."""

    images: dict[str, HeldImage] = field(default_factory=dict)
    using: set[str] = field(default_factory=set)
    down: bool = False
    refused: set[str] = field(default_factory=set)
    """Ids of images that the engine does not let go."""
    removed: list[str] = field(default_factory=list)

    def put(self, *images: HeldImage) -> None:
        self.images |= {image.id: image for image in images}

    def held(self) -> list[HeldImage]:
        if self.down:
            raise EngineDown("held")
        return list(self.images.values())

    def in_use(self) -> set[str]:
        return self.using

    def remove(self, name: str) -> None:
        for image in list(self.images.values()):
            names = tuple(each for each in image.names if each != name)
            if names == image.names:
                continue
            if image.id in self.refused:
                raise EngineRefused("conflict: a container needs it")
            self.images[image.id] = HeldImage(image.id, image.parent, names)
            if not names:
                del self.images[image.id]
                self.removed.append(image.id)

    def share(self) -> float:
        return len(self.images) / 10


class Bench:
    def __init__(self) -> None:
        self.shelf = MemoryShelf()
        self.runtime = StillRuntime()
        self.collection = Collection(self.shelf, self.runtime, self.shelf.share)

    def collect(self, later: float = 0.0) -> list[str]:
        """What went."""
        self.runtime.now += later
        self.shelf.removed.clear()
        self.collection.collect()
        return list(self.shelf.removed)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_goes_while_there_is_room(bench: Bench) -> None:
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefgh"))

    assert bench.collect() == []
    assert bench.collect(10 * IDLE_SECONDS) == []


def test_on_a_full_disk_the_longest_unused_go_until_there_is_room(bench: Bench) -> None:
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefghi"))
    bench.collect()
    for number, letter in enumerate("ihgfedcba"):
        bench.runtime.now += 1
        bench.collection.used(digest(letter) if number % 2 else f"image:{letter}")

    assert bench.collect(IDLE_SECONDS) == [digest("i"), digest("h")]


def test_what_was_just_found_or_used_stays(bench: Bench) -> None:
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefghi"))

    assert bench.collect() == []
    bench.collect(IDLE_SECONDS - 1)
    for letter in "abcdefgh":
        bench.collection.used(digest(letter))
    assert bench.collect(1) == [digest("i")]


def test_what_containers_are_made_of_stays_with_all_that_it_is_built_on(bench: Bench) -> None:
    role = HeldImage(digest("r"), digest("m"), ("berth/role:1",))
    middle = HeldImage(digest("m"), digest("b"), ())
    others = [pulled(f"image:{letter}", letter) for letter in "cdefghij"]
    bench.shelf.put(role, middle, pulled(DEBIAN, "b"), *others[:7])
    bench.shelf.using = {digest("r"), *(each.id for each in others)}
    bench.collect()

    assert bench.collect(IDLE_SECONDS) == []
    bench.shelf.using.discard(digest("r"))
    assert set(bench.collect(IDLE_SECONDS)) <= {digest("r"), digest("b")}
    assert bench.shelf.removed


def test_what_the_operator_brought_or_named_stays(bench: Bench) -> None:
    loaded = HeldImage(digest("a"), "", (DEBIAN,))
    named = HeldImage(digest("b"), "", (*pulled(ALPINE, "b").names, "own/base:1"))
    untagged = HeldImage(digest("c"), "", ())
    bench.shelf.put(loaded, named, untagged, *(HeldImage(digest(x), "", (f"own:{x}",)) for x in "defghi"))
    bench.collect()

    assert bench.collect(IDLE_SECONDS) == []


def test_a_tag_that_has_moved_on_leaves_an_image_that_may_go(bench: Bench) -> None:
    bench.shelf.put(pulled(DEBIAN, "a", named=False), *(HeldImage(digest(x), "", (f"own:{x}",)) for x in "bcdefghi"))
    bench.collect()

    assert bench.collect(IDLE_SECONDS) == [digest("a")]


def test_an_engine_that_is_down_is_asked_again(bench: Bench) -> None:
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefghi"))
    bench.collect()
    bench.shelf.down = True
    assert bench.collect(IDLE_SECONDS) == []

    bench.shelf.down = False
    assert len(bench.collect()) == 2


def test_an_image_that_the_engine_keeps_does_not_keep_the_others(bench: Bench) -> None:
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefghi"))
    bench.shelf.refused = {digest("a"), digest("b")}
    bench.collect()

    gone = bench.collect(IDLE_SECONDS)

    assert len(gone) == 2
    assert not bench.shelf.refused & set(gone)


@given(using=st.sets(st.sampled_from("abcdefghij")), recent=st.sets(st.sampled_from("abcdefghij")))
def test_whatever_is_used_nothing_that_is_needed_goes(using: set[str], recent: set[str]) -> None:
    bench = Bench()
    bench.shelf.put(*(pulled(f"image:{letter}", letter) for letter in "abcdefghij"))
    bench.shelf.using = {digest(letter) for letter in using}
    bench.collect()
    bench.runtime.now += IDLE_SECONDS
    for letter in recent:
        bench.collection.used(digest(letter))

    gone = bench.collect()

    assert not set(gone) & {digest(letter) for letter in using | recent}
    assert bench.shelf.share() < 0.8 or len(gone) == 10 - len(using | recent)
