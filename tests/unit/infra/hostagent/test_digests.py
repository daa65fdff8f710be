"""Which image a container is made from: chosen once, journalled, and told by its digest."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.events import parse_event
from chalicelib.contract.kept_names import TEMPORARY
from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.images import choose_image
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.logins import REPOSITORY as ROLES
from infra.hostagent.containers.means import Means
from infra.hostagent.engine.docker_namespaces import IMAGE as HOLDER
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import ImageMissing
from infra.hostagent.profile import Profile
from infra.hostagent.registry.pins import is_kept, is_pin, local_name, pin_of, pinned
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
TAG = "debian:bookworm"


class Dies(BaseException):
    """The process ends here."""


@dataclass
class MortalEngine(FakeEngine):
    """Dies before it creates, once; keeps what was created from what."""

    dies: bool = False
    made_from: list[str] = field(default_factory=list)

    def create(self, profile: Profile) -> str:
        if self.dies:
            self.dies = False
            raise Dies
        self.made_from.append(profile.container["image"])
        return super().create(profile)


@pytest.fixture
def engine() -> MortalEngine:
    engine = MortalEngine(present={"old:1", "new:1"})
    engine.tag("old:1", TAG)
    engine.tag("old:1", pin_of(OLD))
    engine.tag("new:1", pin_of(NEW))
    return engine


def a_creation(engine: FakeEngine, folder: Path, images: Pulls | None = None) -> tuple[Creation, Journal]:
    runtime = ThreadRuntime()
    journal = Journal(folder / "journal.sqlite", runtime)
    means = Means(engine, journal, runtime, lambda: None, MemoryFiles(), MemoryDisk())
    return Creation(means, images or Pulls(engine, 1, 5), Place("host", "network", 2, 5)), journal


def created(journal: Journal) -> list[Any]:
    events: list[Any] = [parse_event(each.event) for each in journal.outgoing(100)]
    return [event for event in events if event.kind == "created"]


def test_a_container_is_made_from_what_its_tag_is_pinned_to_and_says_so(engine: MortalEngine, tmp_path: Path) -> None:
    creation, journal = a_creation(engine, tmp_path)
    intent = accepted(a_spec(image=TAG), time.time())
    journal.accept(intent)

    creation.run(intent)

    [event] = created(journal)
    found = engine.image("old:1")
    assert found is not None
    assert (event.image_digest, engine.made_from) == (OLD, [found.id])


def test_a_tag_that_moves_while_the_agent_is_away_changes_nothing(engine: MortalEngine, tmp_path: Path) -> None:
    creation, journal = a_creation(engine, tmp_path)
    intent = accepted(a_spec(image=TAG), time.time())
    journal.accept(intent)
    engine.dies = True
    with contextlib.suppress(Dies):
        creation.run(intent)
    journal.close()

    engine.tag("new:1", TAG)
    creation, journal = a_creation(engine, tmp_path)
    left = journal.get(intent.container_id)
    assert left is not None
    assert left.step is Step.ACCEPTED
    creation.run(left)

    [event] = created(journal)
    found = engine.image("old:1")
    assert found is not None
    assert (event.image_digest, engine.made_from) == (OLD, [found.id])


def test_a_tag_that_moves_while_an_image_is_prepared_is_told_by_what_the_container_is_made_from(
    engine: MortalEngine, tmp_path: Path
) -> None:
    class Prepared(Pulls):
        """Takes its time; the tag has moved when it is done."""

        def find(self, spec: ContainerSpec) -> str | None:
            return None

        def wait(self, spec: ContainerSpec, *_: object) -> str:
            base = super().find(spec)
            assert base is not None
            engine.tag("new:1", TAG)
            return base

    creation, journal = a_creation(engine, tmp_path, Prepared(engine, 1, 5))
    intent = accepted(a_spec(image=TAG), time.time())
    journal.accept(intent)

    creation.run(intent)

    found = engine.image("old:1")
    assert found is not None
    assert [event.image_digest for event in created(journal)] == [OLD]
    assert engine.made_from == [found.id]


def test_an_image_that_came_from_no_registry_has_no_digest(tmp_path: Path) -> None:
    creation, journal = a_creation(FakeEngine(present={TAG}), tmp_path)
    intent = accepted(a_spec(image=TAG), time.time())
    journal.accept(intent)

    creation.run(intent)

    assert [event.image_digest for event in created(journal)] == [None]


def test_a_pin_is_a_name_that_says_a_digest_and_nothing_else() -> None:
    assert pinned(["debian:bookworm", pin_of(OLD)], TAG) == OLD
    assert pinned(["debian:bookworm", "berth-pin:latest", "evil/berth-pin:sha256-" + "a" * 64], TAG) is None
    several = [pin_of(NEW), pin_of(OLD), pin_of(NEW, "nginx"), pin_of(OLD, TAG)]
    for reference, digest in [(TAG, OLD), ("nginx:latest", NEW), ("docker.io/library/debian:bookworm", OLD)]:
        assert pinned(several, reference) == digest
    assert is_pin(pin_of(OLD, TAG))
    assert is_pin(pin_of(OLD))
    assert not is_pin("evil/berth-pin:sha256-x")
    assert local_name(f"ghcr.io/a/b:1@{OLD}") == pin_of(OLD)
    assert local_name("docker.io/library/nginx") == "nginx:latest"
    assert local_name("quay.io:443/a/b:1") == "quay.io/a/b:1"
    assert local_name("docker.io:443/nginx") == "nginx:latest"
    assert local_name("docker.io/library/library/nginx") == "library/library/nginx:latest"


def names_of_ours() -> list[str]:
    """One of every kind of name that hosts give, as the engine calls them and as a user may write them."""
    given = [pin_of(OLD), pin_of(OLD, TAG), HOLDER, f"{ROLES}:{'c' * 64}", f"{TEMPORARY}{'d' * 32}"]
    return [f"{before}{each}" for each in given for before in ("", "docker.io/", "library/", "docker.io/library/")]


@pytest.mark.parametrize("name", names_of_ours())
def test_a_name_that_hosts_give_is_no_image_that_can_be_asked_for(name: str) -> None:
    engine = MortalEngine(present={local_name(name), name})
    pulls = Pulls(engine, 1, 5)
    spec = a_spec(image=name)

    with pytest.raises(InvalidRequest):
        choose_image("custom", name)
    assert is_kept(name)
    assert pulls.find(spec) is None
    with pytest.raises(ImageMissing):
        pulls.wait(spec, time.monotonic() + 5, lambda *_: None, lambda: None)
    assert engine.calls == []


def test_an_image_is_never_found_by_the_beginning_of_its_id() -> None:
    engine = MortalEngine(present={"abcdef", "ghcr.io/a/b:1"})
    pulls = Pulls(engine, 1, 5)

    assert pulls.find(a_spec(image="abcdef")) is None
    assert pulls.find(a_spec(image="sha256:abcdef")) is None
    assert pulls.find(a_spec(image="ghcr.io/a/b:1")) is not None
