"""`infra.hostagent.ports.Engine`: the same promises asked of the fake and of Docker."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine as RunningEngine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.ports import (
    STDERR,
    STDOUT,
    Command,
    Engine,
    EngineDown,
    EngineRefused,
    Exited,
    ImageMissing,
    NameInUse,
    NoSuchUser,
    NotThere,
    Ran,
    Size,
    Tty,
)
from infra.hostagent.profile import Limits, Profile, blank_id, engine_name, profile_of
from infra.hostagent.registry.pins import is_pin, pin_of
from infra.hostagent.warm.blanks import unlabelled
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine, Program


@dataclass
class Bench:
    engine: Engine
    host_id: str
    pullable: str
    missing: str
    limits: Callable[[str], Limits]
    """What the engine says is in force."""

    def profile(self, **changes: object) -> Profile:
        spec = a_spec(image=TINY, network_mode=NetworkMode.NONE, **changes)
        return profile_of(spec, self.host_id, "unused", cores=1)


@pytest.fixture(params=["fake", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    host_id = f"h{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        fake = FakeEngine(present={TINY}, remote={"registry.example/there:1"}, programs=PROGRAMS)
        yield Bench(fake, host_id, "registry.example/there:1", "registry.example/no/such:1", fake.limits.__getitem__)
        return
    running: RunningEngine = request.getfixturevalue("engine")
    registry: Registry = request.getfixturevalue("registry")
    pullable = registry.hold(TINY, f"berth-test/port:{host_id}")
    engine = DockerEngine(running.url)

    def limits(engine_id: str) -> Limits:
        with contextlib.closing(running.client()) as client:
            found = client.containers.get(engine_id).attrs["HostConfig"]
        assert found["Memory"] == found["MemorySwap"]
        return Limits(found["Memory"], found["NanoCpus"])

    yield Bench(engine, host_id, pullable, f"{registry.address}/no/such:1", limits)
    for container in engine.of_host(host_id):
        engine.remove(container.engine_id)


def test_a_container_is_created_found_started_and_removed(bench: Bench) -> None:
    profile = bench.profile()

    engine_id = bench.engine.create(profile)

    created = bench.engine.find(profile.name)
    assert created is not None
    assert (created.engine_id, created.running, created.ever_ran, created.going) == (engine_id, False, False, False)
    assert created.user_id == a_spec().user_id
    bench.engine.start(engine_id)
    bench.engine.start(engine_id)
    [running] = bench.engine.of_host(bench.host_id)
    assert (running.engine_id, running.running, running.generation) == (engine_id, True, 1)
    assert running.ever_ran
    assert bench.engine.answers(engine_id)
    bench.engine.remove(engine_id)
    bench.engine.remove(engine_id)
    assert bench.engine.of_host(bench.host_id) == []
    assert bench.engine.find(profile.name) is None


def test_what_was_made_ahead_is_its_own_until_it_is_given_another_name(bench: Bench) -> None:
    profile = unlabelled(bench.profile(container_id=blank_id("x1")), bench.host_id)
    engine_id = bench.engine.create(profile)
    bench.engine.start(engine_id)
    [blank] = bench.engine.of_host(bench.host_id)
    assert (blank.blank, blank.unclaimed, blank.user_id) == (profile.name, True, "")

    bench.engine.rename(engine_id, engine_name("c-1", 7))

    [found] = bench.engine.of_host(bench.host_id)
    assert (found.engine_id, found.container_id, found.generation, found.unclaimed) == (engine_id, "c-1", 7, False)
    assert found.blank == profile.name
    assert bench.engine.find(profile.name) is None
    bench.engine.discard(profile.name)
    there = bench.engine.find(engine_name("c-1", 7))
    assert there is not None
    assert (there.engine_id, there.blank, there.running) == (engine_id, profile.name, True)
    bench.engine.discard(engine_name("c-1", 7))
    bench.engine.discard(engine_name("c-1", 7))
    assert bench.engine.of_host(bench.host_id) == []


def test_a_name_that_another_has_cannot_be_given(bench: Bench) -> None:
    taken, profile = bench.profile(container_id="a"), bench.profile(container_id="b")
    bench.engine.create(taken)
    engine_id = bench.engine.create(profile)

    with pytest.raises(NameInUse):
        bench.engine.rename(engine_id, taken.name)
    with pytest.raises(NotThere):
        bench.engine.rename("f" * 64, "berth-c-1")

    found = bench.engine.find(profile.name)
    assert found is not None
    assert found.engine_id == engine_id


def test_a_command_is_run_inside_and_its_end_is_known(bench: Bench) -> None:
    if isinstance(bench.engine, FakeEngine):
        bench.engine.outcomes = {"exit 7": Ran(7, "words"), "nothing": Ran(127, "")}
    engine_id = bench.engine.create(bench.profile())
    with pytest.raises(EngineRefused):
        bench.engine.run(engine_id, ["true"], "0", {}, 5)
    bench.engine.start(engine_id)

    def run(*command: str) -> Ran:
        return bench.engine.run(engine_id, command, "0", {"SAID": "words"}, 5)

    ran = run("sh", "-c", "echo $SAID; exit 7")
    assert (ran.exit_code, ran.output.strip()) == (7, "words")
    assert run("true").exit_code == 0
    assert run("/there/is/nothing").exit_code in (126, 127)
    with pytest.raises(NotThere):
        bench.engine.run("f" * 64, ["true"], "0", {}, 5)


def test_a_command_that_does_not_end_is_not_waited_for(request: pytest.FixtureRequest) -> None:
    running: RunningEngine = request.getfixturevalue("engine")
    engine = DockerEngine(running.url)
    host_id = f"h{uuid.uuid4().hex[:8]}"
    spec = a_spec(image=TINY, network_mode=NetworkMode.NONE)
    engine_id = engine.create(profile_of(spec, host_id, "unused", cores=1))
    engine.start(engine_id)
    try:
        began = time.monotonic()
        for command in ("sleep 600", "exec >/dev/null 2>&1 </dev/null; sleep 600", "yes"):
            with pytest.raises(EngineDown):
                engine.run(engine_id, ["sh", "-c", command], "0", {}, 1)
        assert time.monotonic() - began < 20
    finally:
        engine.remove(engine_id)


def test_a_name_can_be_used_once(bench: Bench) -> None:
    profile = bench.profile()
    bench.engine.create(profile)

    with pytest.raises(NameInUse):
        bench.engine.create(profile)


def test_a_container_of_an_image_that_is_not_there_is_refused(bench: Bench) -> None:
    profile = bench.profile()
    profile.container["image"] = "never/seen:1"

    with pytest.raises(ImageMissing):
        bench.engine.create(profile)
    assert bench.engine.image("never/seen:1") is None
    assert bench.engine.image(TINY) is not None


def test_a_stopped_container_is_not_running_and_may_start_again(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())
    bench.engine.start(engine_id)

    bench.engine.stop(engine_id, 5)
    assert [(each.running, each.ever_ran) for each in bench.engine.of_host(bench.host_id)] == [(False, True)]
    bench.engine.stop(engine_id, 5)
    bench.engine.start(engine_id)

    assert [each.running for each in bench.engine.of_host(bench.host_id)] == [True]


def test_limits_are_changed_while_it_runs_and_while_it_does_not(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())
    up, down = Limits(256 * 1024**2, 1_000_000_000), Limits(64 * 1024**2, 250_000_000)
    assert bench.limits(engine_id) == Limits(128 * 1024**2, 500_000_000)

    for limits in (up, down):
        bench.engine.resize(engine_id, limits)
        assert bench.limits(engine_id) == limits
    bench.engine.start(engine_id)
    for limits in (up, down, down):
        bench.engine.resize(engine_id, limits)
        assert bench.limits(engine_id) == limits

    bench.engine.stop(engine_id, 1)
    bench.engine.start(engine_id)
    assert bench.limits(engine_id) == down


def test_what_is_not_there_says_so(bench: Bench) -> None:
    nothing = Limits(64 * 1024**2, 250_000_000)
    for call in (
        lambda: bench.engine.resize("f" * 64, nothing),
        lambda: bench.engine.start("f" * 64),
        lambda: bench.engine.stop("f" * 64, 1),
    ):
        with pytest.raises(NotThere):
            call()


def test_an_image_is_there_when_its_pull_has_ended(bench: Bench) -> None:
    lines = list(bench.engine.pull(bench.pullable))

    assert lines
    assert bench.engine.image(bench.pullable) is not None
    assert bench.pullable in bench.engine.images()


def test_a_pull_of_what_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises((EngineRefused, NotThere)):
        list(bench.engine.pull(bench.missing))


def test_an_image_keeps_its_id_whatever_its_names(bench: Bench) -> None:
    digest = "sha256:" + uuid.uuid4().hex * 2
    found = bench.engine.image(TINY)
    assert found is not None
    name = f"berth-test/named:{bench.host_id}"

    bench.engine.tag(TINY, name)
    bench.engine.tag(found.id, pin_of(digest))
    again, by_digest = bench.engine.image(name), bench.engine.image(f"anything/at/all@{digest}")

    assert again is not None
    assert by_digest is not None
    assert again.id == by_digest.id == found.id
    assert not any(is_pin(each) for each in bench.engine.images())
    for each in (name, pin_of(digest), name):
        bench.engine.untag(each)
    assert bench.engine.image(name) is None
    assert bench.engine.image(f"anything/at/all@{digest}") is None
    with pytest.raises(ImageMissing):
        bench.engine.tag("never/seen:1", name)


def test_a_network_is_made_once_and_again_when_it_is_gone(bench: Bench) -> None:
    name, bridge = f"berth-{bench.host_id}", f"bt{bench.host_id[:10]}"

    assert [bench.engine.ensure_network(name, bridge) for _ in range(2)] == [True, False]
    bench.engine.drop_network(name)
    bench.engine.drop_network(name)
    assert bench.engine.ensure_network(name, bridge)

    bench.engine.drop_network(name)


PRINTS = ("sh", "-c", "echo out; sleep 0.2; echo err >&2; exit 3")
NEVER_ENDS = ("sh", "-c", "echo begun; sleep 1000")
READS = ("cat",)
PROGRAMS = {
    READS: Program(echoes=True),
    PRINTS: Program(((STDOUT, b"out\n"), (STDERR, b"err\n")), exit_code=3),
    NEVER_ENDS: Program(((STDOUT, b"begun\n"),), endless=True),
}


def run(
    bench: Bench, command: Command, seconds: float = 20, given: bytes | None = None
) -> tuple[Exited, list[tuple[int, bytes]], str]:
    """How it ended, what was heard of it, and its id, in a new container."""
    engine_id = bench.engine.create(bench.profile())
    bench.engine.start(engine_id)
    exec_id = bench.engine.prepare(engine_id, command)
    heard: list[tuple[int, bytes]] = []
    ends = time.monotonic() + seconds
    exited = bench.engine.run_prepared(
        exec_id, lambda *piece: heard.append(piece), lambda: time.monotonic() > ends, given
    )
    return exited, heard, exec_id


def test_a_command_prints_on_two_outputs_and_ends_with_its_code(bench: Bench) -> None:
    exited, heard, exec_id = run(bench, Command(PRINTS, "0"))

    assert exited == Exited(3)
    assert heard == [(STDOUT, b"out\n"), (STDERR, b"err\n")]
    bench.engine.end(exec_id)


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_command_reads_what_it_is_given_to_its_end(bench: Bench, size: int) -> None:
    given = os.urandom(size)

    exited, heard, _ = run(bench, Command(READS, "0", reads=True), given=given)

    assert exited == Exited(0)
    assert b"".join(piece for _, piece in heard) == given


def test_a_command_that_cannot_be_started_says_so(bench: Bench) -> None:
    exited, _, _ = run(bench, Command(("no-such-program",), "0"))
    assert (exited.started, exited.exit_code in (126, 127)) == (False, True)

    try:
        exited, _, _ = run(bench, Command(PRINTS, "no-such-user"))
    except NoSuchUser:
        return  # newer engines look before they have it ready
    assert (exited.started, exited.exit_code) == (False, 126)


def test_a_command_is_left_when_its_time_is_over_and_ends_when_told(bench: Bench) -> None:
    exited, heard, exec_id = run(bench, Command(NEVER_ENDS, "0"), seconds=1)

    assert exited.left
    assert b"".join(piece for _, piece in heard) == b"begun\n"
    bench.engine.end(exec_id)
    bench.engine.end(exec_id)
    bench.engine.end("f" * 64)


@contextlib.contextmanager
def terminal(bench: Bench, size: Size) -> Iterator[tuple[Tty, str, str]]:
    """One on which what is typed comes back, the id of what runs there, and the engine's of its container."""
    engine_id = bench.engine.create(bench.profile())
    bench.engine.start(engine_id)
    exec_id = bench.engine.prepare(engine_id, Command(READS, "0", reads=True, tty=True))
    tty = bench.engine.attach(exec_id, size)
    try:
        yield tty, exec_id, engine_id
    finally:
        tty.hang_up()


def printed(tty: Tty, words: bytes = b"") -> bytes:
    """What comes, up to these words, or to the end."""
    said = bytearray(tty.ahead)
    tty.connection.settimeout(20)
    while not words or words not in said:
        chunk = tty.connection.recv(4096)
        if not chunk:
            break
        said += chunk
    tty.connection.setblocking(False)
    return bytes(said)


def test_a_terminal_takes_what_is_typed_and_ends_when_told(bench: Bench) -> None:
    with terminal(bench, Size(120, 40)) as (tty, exec_id, _):
        assert tty.connection.gettimeout() == 0
        tty.connection.sendall("grüße\n".encode())
        assert "grüße" in printed(tty, b"e\r\n" if isinstance(bench.engine, DockerEngine) else b"e\n").decode()
        bench.engine.resize_tty(exec_id, Size(1, 1))
        bench.engine.resize_tty(exec_id, Size(1000, 1000))

        bench.engine.end(exec_id)

        printed(tty)
        with pytest.raises((NotThere, EngineRefused)):
            bench.engine.resize_tty(exec_id, Size(80, 24))


def test_a_terminal_ends_with_its_container(bench: Bench) -> None:
    with terminal(bench, Size(80, 24)) as (tty, exec_id, engine_id):
        bench.engine.remove(engine_id)

        printed(tty)
        bench.engine.end(exec_id)


def test_what_is_not_known_has_no_terminal(bench: Bench) -> None:
    with pytest.raises(NotThere):
        bench.engine.attach("f" * 64, Size(80, 24))
    with pytest.raises(NotThere):
        bench.engine.resize_tty("f" * 64, Size(80, 24))


def test_commands_are_for_containers_that_run(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())

    with pytest.raises(EngineRefused):
        bench.engine.prepare(engine_id, Command(PRINTS, "0"))
    with pytest.raises(NotThere):
        bench.engine.prepare("f" * 64, Command(PRINTS, "0"))


def test_an_engine_that_does_not_answer_is_down() -> None:
    for engine in (FakeEngine(down=True), DockerEngine("unix:///nowhere/docker.sock")):
        with pytest.raises(EngineDown):
            engine.of_host("h")
        with pytest.raises(EngineDown):
            engine.facts()


def test_giving_up_a_pull_that_is_not_under_way_is_nothing(bench: Bench) -> None:
    bench.engine.give_up("nobody/pulls:1")

    list(bench.engine.pull(bench.pullable))
    bench.engine.give_up(bench.pullable)

    assert bench.engine.image(bench.pullable) is not None


def test_where_a_container_writes_is_known_as_long_as_it_is_there(bench: Bench) -> None:
    engine_id = bench.engine.create(bench.profile())

    made = bench.engine.writable(engine_id)
    bench.engine.start(engine_id)
    started = bench.engine.writable(engine_id)

    assert made.layer.startswith("/")
    assert (made.running, started.running) == (False, True)
    assert started.layer == made.layer
    assert made.volumes == ()
    bench.engine.remove(engine_id)
    with pytest.raises(NotThere):
        bench.engine.writable(engine_id)


def test_volumes_that_an_image_asks_for_are_known_before_it_is_used(bench: Bench) -> None:
    assert bench.engine.volumes_of(TINY) == ()
    with pytest.raises(ImageMissing):
        bench.engine.volumes_of(bench.missing)


def test_when_a_container_ended_is_known_once_it_has(bench: Bench) -> None:
    profile = bench.profile()
    engine_id = bench.engine.create(profile)
    bench.engine.start(engine_id)
    running = bench.engine.find(profile.name)
    before = time.time()

    bench.engine.stop(engine_id, 1)

    ended = bench.engine.find(profile.name)
    assert running is not None
    assert running.finished_at is None
    assert ended is not None
    assert ended.finished_at is not None
    assert before - 0.1 <= ended.finished_at <= time.time() + 0.1
