"""Images prepared for a role: pulled, built once for all who wait, told of, and never half."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Code
from chalicelib.contract.resources import Shell
from infra.hostagent.containers.logins import let_in
from infra.hostagent.failures import NotPrepared, StillPreparing, cause_of
from infra.hostagent.images.building import VERSIONS, Building, BuildPlace
from infra.hostagent.images.builds import TICK_SECONDS, Builds
from infra.hostagent.images.prepared import PreparedImages
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.images.sources import CA_BUNDLE, Sources
from infra.hostagent.ports import EngineDown, NotThere, Ran
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.images import FakeImages

BASE = "debian:bookworm"
GO = Ran(0, "go version go1.19.8 linux/amd64")


@dataclass
class SlowEngine(FakeEngine):
    """Its commands begin when they may."""

    pause: float = 0.0
    may: threading.Event = field(default_factory=threading.Event)
    scripts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.may.set()

    def run(self, engine_id: str, command: list[str], *how: object, **more: object) -> Ran:  # type: ignore[override]
        self.may.wait(10)
        time.sleep(self.pause)
        self.scripts.append(command[-1])
        return super().run(engine_id, command, *how, **more)  # type: ignore[arg-type]


@dataclass
class Bench:
    engine: SlowEngine
    told: list[tuple[int, str]] = field(default_factory=list)
    sources: Sources = field(default_factory=Sources)

    def __post_init__(self) -> None:
        self.store = FakeImages(self.engine)
        self.building = Building(self.engine, self.store, BuildPlace("host", "network", 2), self.sources)
        self.builds = Builds(self.building, parallel=1)
        self.images = PreparedImages(Pulls(self.engine, parallel=1, seconds=60), self.store, self.builds)

    def wait(self, spec: ContainerSpec, seconds: float = 10) -> str:
        def tell(percent: int, message: str) -> None:
            self.told.append((percent, message))

        return self.images.wait(spec, time.monotonic() + seconds, tell, lambda: None)

    @property
    def base(self) -> str:
        """What the base is called once it is found."""
        found = self.engine.image(BASE)
        assert found is not None
        return found.id

    def builds_so_far(self) -> int:
        return self.engine.calls.count("create")


@pytest.fixture
def bench() -> Iterator[Bench]:
    outcomes = {"os-release": Ran(0, "ID=debian\r\n"), "\ngo version": GO, "go version": GO}
    made = Bench(SlowEngine(present={BASE}, remote={"pulled:1"}, outcomes=outcomes))
    yield made
    made.engine.may.set()
    made.builds.close()


def go(**changes: object) -> ContainerSpec:
    return a_spec(**({"image": BASE, "role": "go"} | changes))


def test_an_image_is_prepared_once_and_found_from_then_on(bench: Bench) -> None:
    assert bench.images.find(go()) is None
    bench.engine.pause = 2 * TICK_SECONDS

    image = bench.wait(go())

    assert image.startswith("berth/role:")
    assert bench.images.find(go()) == image
    assert bench.store.labels(image)[VERSIONS] == '{"go": "1.19.8"}'
    assert bench.engine.rows == {}
    assert bench.told[0][1] == "preparing the role go: package lists (1/6)"
    assert [percent for percent, _ in bench.told] == sorted(percent for percent, _ in bench.told)


def test_another_role_shell_or_base_is_another_image_and_none_is_none(bench: Bench) -> None:
    bench.engine.present.add("other:1")
    images = {bench.wait(go()), bench.wait(go(image="other:1")), bench.wait(go(shell=Shell()))}

    assert len(images) == 3
    assert bench.images.find(go(role="barebone", shell=Shell())) == bench.base
    assert bench.images.find(go(role="")) == bench.base


def test_what_has_to_be_pulled_is_pulled_first_and_progress_never_goes_back(bench: Bench) -> None:
    bench.engine.pause = 2 * TICK_SECONDS

    image = bench.wait(go(image="pulled:1"))

    assert image.startswith("berth/role:")
    percents = [percent for percent, _ in bench.told]
    assert percents == sorted(percents)
    assert all(percent <= 30 for percent, message in bench.told if message.startswith("pulling"))
    assert all(30 <= percent < 60 for percent, message in bench.told if message.startswith("preparing"))


def test_all_who_wait_share_one_build(bench: Bench) -> None:
    bench.engine.may.clear()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(bench.wait(go()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    bench.engine.may.set()
    for thread in threads:
        thread.join(10)

    assert len(set(found)) == 1
    assert len(found) == 4
    assert bench.builds_so_far() == 1


def test_a_build_outlives_those_who_cannot_wait(bench: Bench) -> None:
    bench.engine.may.clear()
    with pytest.raises(StillPreparing) as waited:
        bench.wait(go(), seconds=0.3)
    cause = cause_of(waited.value, BASE, pulling=True)
    bench.engine.may.set()

    image = bench.wait(go())

    assert cause.code is Code.TIMEOUT
    assert "still being prepared" in cause.message
    assert bench.images.find(go()) == image
    assert bench.builds_so_far() == 1


def test_a_tool_that_cannot_be_installed_fails_the_role_by_name_and_is_tried_again(bench: Bench) -> None:
    bench.engine.outcomes = {"golang-go": Ran(100, "E: Unable to locate package golang-go")} | bench.engine.outcomes

    with pytest.raises(NotPrepared) as failed:
        bench.wait(go())

    cause = cause_of(failed.value, BASE, pulling=True)
    assert (cause.code, cause.message) == (
        Code.ROLE_FAILED,
        "the role go could not be prepared: go could not be installed",
    )
    assert bench.engine.rows == {}
    assert bench.images.find(go()) is None
    del bench.engine.outcomes["golang-go"]
    assert bench.wait(go()).startswith("berth/role:")


@pytest.mark.parametrize("outcome", [Ran(127, "go: not found"), Ran(0, "no number")])
def test_a_tool_that_does_not_say_its_version_fails_the_role(bench: Bench, outcome: Ran) -> None:
    bench.engine.outcomes |= {"go version": outcome, "\ngo version": outcome}

    with pytest.raises(NotPrepared, match="go could not be installed"):
        bench.wait(go())


def test_a_step_that_never_ends_fails_the_role(bench: Bench) -> None:
    def run(engine_id: str, command: list[str], *how: object, **more: object) -> Ran:
        if "golang-go" in command[-1]:
            raise EngineDown("the command takes too long")
        return FakeEngine.run(bench.engine, engine_id, command, *how, **more)  # type: ignore[arg-type]

    bench.engine.run = run  # type: ignore[assignment]

    with pytest.raises(NotPrepared, match="go could not be installed"):
        bench.wait(go())
    assert bench.engine.rows == {}


def test_what_a_killed_agent_was_building_is_removed_and_built_anew(bench: Bench) -> None:
    bench.engine.may.clear()
    ends: list[type[Exception]] = []

    def first() -> None:
        try:
            bench.wait(go())
        except NotThere as error:
            ends.append(type(error))

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    while not bench.engine.rows:
        time.sleep(0.01)
    again = Bench(bench.engine)

    again.building.sweep()

    assert bench.engine.rows == {}
    bench.engine.may.set()
    thread.join(10)
    assert ends == [NotThere]
    assert again.wait(go()).startswith("berth/role:")


def test_an_unknown_distribution_keeps_its_shell_but_has_no_role(bench: Bench) -> None:
    bench.engine.outcomes["os-release"] = Ran(0, "ID=plan9\n")
    plain = go(role="", shell=Shell())

    assert bench.wait(plain) == bench.base
    assert bench.told[-1][1] == "no shell of ours for this image's distribution: it keeps its own"
    assert bench.images.find(plain) == bench.base
    with pytest.raises(
        NotPrepared, match="the image's distribution is none of Alpine Linux, Arch Linux, Debian, Ubuntu"
    ):
        bench.wait(go())


def test_a_role_that_this_host_does_not_know_is_refused(bench: Bench) -> None:
    with pytest.raises(NotPrepared, match="the role cobol could not be prepared"):
        bench.images.find(go(role="cobol"))


def test_builds_use_this_hosts_sources(bench: Bench, tmp_path: object) -> None:
    sources = Sources(
        ca_bundle="/etc/ssl/own.pem",  # type: ignore[arg-type]
        environment={"PIP_INDEX_URL": "https://mirror.example/simple"},
        mirrors={"https://registry.npmjs.org/": "https://mirror.example/npm/"},
    )
    own = Bench(bench.engine, sources=sources)
    bench.engine.outcomes |= {f"\n{tool}": Ran(0, "v1.2.3") for tool in ("node", "npm", "yarn", "nvm")}
    bench.engine.outcomes |= {f"{tool} --version": Ran(0, "v1.2.3") for tool in ("node", "npm", "yarn", "nvm")}

    own.wait(go(role="node"))

    [fetched] = [script for script in bench.engine.scripts if "/npm-10" in script]
    assert "https://mirror.example/npm/npm/-/npm-10" in fetched
    assert "registry.npmjs.org" not in fetched
    assert sources.variables()["PIP_CERT"] == CA_BUNDLE
    assert sources.variables()["PIP_INDEX_URL"] == "https://mirror.example/simple"


def test_people_are_let_in_only_when_all_that_was_promised_is_there() -> None:
    engine = FakeEngine(present={BASE})
    building = Building(engine, FakeImages(engine), BuildPlace("host", "network", 2), Sources())
    engine_id = engine.create(building._profile("berth-build-host-1", BASE))
    engine.start(engine_id)

    def refused(output: str) -> str:
        engine.outcomes = {"check.zsh": Ran(1, output)}
        with pytest.raises(NotPrepared) as error:
            let_in(engine, engine_id, "go", enhanced=True, prepared=True)
        return str(error.value)

    assert "theme could not be installed" in refused("noise\r\nberth lacks theme\r\n")
    assert "go could not be installed" in refused("berth lacks go")
    assert "the login shell could not be installed" in refused("berth lacks <b>anything the image likes</b>")
    assert "the login shell could not be installed" in refused("")
    engine.outcomes = {}
    let_in(engine, engine_id, "go", enhanced=True, prepared=True)


def test_an_image_without_a_shell_has_root_alone() -> None:
    engine = FakeEngine(present={BASE}, outcomes={"add_user": Ran(127, "")})
    building = Building(engine, FakeImages(engine), BuildPlace("host", "network", 2), Sources())
    engine_id = engine.create(building._profile("berth-build-host-1", BASE))
    engine.start(engine_id)

    let_in(engine, engine_id, "", enhanced=False, prepared=False)

    assert engine.calls[-1] == "answers"
