"""`infra.hostagent.network.namespaces.Namespaces`: the same promises asked of the fake and of Docker."""

import configparser
import contextlib
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.contract.resources import NetworkMode
from infra.ground.engine import Engine as RunningEngine
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.engine.docker_namespaces import IMAGE, DockerNamespaces
from infra.hostagent.network.namespaces import Namespaces
from infra.hostagent.ports import Engine, EngineDown, EngineRefused, NotThere
from infra.hostagent.profile import profile_of, sharing
from tests.aws import ROOT
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.namespaces import FakeNamespaces

NAME_IT = """
import sys
from infra.hostagent.engine.docker_namespaces import DockerNamespaces
DockerNamespaces(*sys.argv[1:4]).name(*sys.argv[4:])
"""


@dataclass
class Bench:
    engine: Engine
    namespaces: Namespaces
    host_id: str
    end: Callable[[str], None]
    """A holder's program ends."""
    unjoin: Callable[[str], None]
    """Somebody takes a holder from its network."""

    @property
    def network(self) -> str:
        return f"berth-{self.host_id}"

    def created(self, holder: str) -> str:
        return self.engine.create(sharing(profile_of(a_spec(image=TINY), self.host_id, self.network, 1), holder))


@pytest.fixture(params=["fake", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    host_id = f"h{uuid.uuid4().hex[:8]}"
    if request.param == "fake":
        fake = FakeEngine(present={TINY})
        namespaces = FakeNamespaces(fake)
        yield Bench(fake, namespaces, host_id, lambda each: fake.holders.update({each: False}), namespaces.unjoined.add)
        return
    running: RunningEngine = request.getfixturevalue("engine")
    engine = DockerEngine(running.url)
    real = DockerNamespaces(running.url, host_id, f"berth-{host_id}")
    engine.ensure_network(f"berth-{host_id}", f"bt{host_id[:10]}")
    with contextlib.closing(running.client()) as client:
        docker: Any = client

        def unjoin(holder: str) -> None:
            docker.networks.get(f"berth-{host_id}").disconnect(holder, force=True)

        yield Bench(engine, real, host_id, lambda each: docker.containers.get(each).kill(), unjoin)
    for container in engine.of_host(host_id):
        engine.remove(container.engine_id)
    for holder in real.all():
        real.remove(holder.engine_id)
    engine.drop_network(f"berth-{host_id}")


def until(true: Callable[[], bool]) -> None:
    """Newer engines list what they have just killed as running for a moment more."""
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_holder_is_made_on_the_network_and_is_no_container_of_the_hosts(bench: Bench) -> None:
    holder = bench.namespaces.make()

    [found] = bench.namespaces.all()
    assert (found.engine_id, found.running, found.usable) == (holder, True, True)
    assert found.address
    assert bench.engine.of_host(bench.host_id) == []
    assert IMAGE not in bench.engine.images()
    bench.namespaces.remove(holder)
    bench.namespaces.remove(holder)
    assert bench.namespaces.all() == []


def test_a_container_starts_in_the_namespace_of_a_holder_and_is_known_to(bench: Bench) -> None:
    holder = bench.namespaces.make()

    engine_id = bench.created(holder)
    bench.engine.start(engine_id)

    [found] = bench.engine.of_host(bench.host_id)
    assert (found.running, found.holder) == (True, holder)
    assert bench.engine.answers(engine_id)


def test_a_holder_that_ended_or_was_cut_off_is_mended(bench: Bench) -> None:
    holder = bench.namespaces.make()
    engine_id = bench.created(holder)
    for harm in (bench.end, bench.unjoin):
        harm(holder)
        until(lambda: not bench.namespaces.all()[0].usable)

        bench.namespaces.mend(holder)
        bench.namespaces.mend(holder)

        assert bench.namespaces.all()[0].usable
    bench.engine.start(engine_id)
    assert bench.engine.answers(engine_id)


def test_nothing_starts_with_a_holder_that_does_not_run_or_is_not_there(bench: Bench) -> None:
    holder = bench.namespaces.make()
    engine_id = bench.created(holder)
    bench.end(holder)
    with pytest.raises(EngineRefused):
        bench.engine.start(engine_id)

    bench.namespaces.remove(holder)

    with pytest.raises(NotThere):
        bench.engine.start(engine_id)
    with pytest.raises(NotThere):
        bench.namespaces.mend(holder)


def test_a_name_is_given_to_what_runs_and_to_nothing_else(bench: Bench) -> None:
    holder = bench.namespaces.make()
    engine_id = bench.created(holder)
    with pytest.raises(EngineRefused):
        bench.namespaces.name(engine_id, "early")
    bench.engine.start(engine_id)
    mine = socket.gethostname()

    bench.namespaces.name(engine_id, "late")

    assert socket.gethostname() == mine
    with pytest.raises(NotThere):
        bench.namespaces.name("f" * 64, "nobody")


def test_an_engine_that_does_not_answer_is_down() -> None:
    for namespaces in (
        FakeNamespaces(FakeEngine(down=True)),
        DockerNamespaces("unix:///nowhere/docker.sock", "h", "n"),
    ):
        with pytest.raises(EngineDown):
            namespaces.make()
        with pytest.raises(EngineDown):
            namespaces.all()


def test_what_the_unit_of_the_fleet_leaves_of_root_is_enough_to_name_a_container(engine: RunningEngine) -> None:
    unit = configparser.RawConfigParser(strict=False, allow_no_value=True)
    unit.read(ROOT / "infra/aws/hosts/berth-agent.service")
    kept = ",".join(each.lower().replace("cap_", "+") for each in unit["Service"]["CapabilityBoundingSet"].split())
    host_id = f"h{uuid.uuid4().hex[:8]}"
    docker = DockerEngine(engine.url)
    engine_id = docker.create(profile_of(a_spec(image=TINY, network_mode=NetworkMode.NONE), host_id, "unused", cores=1))
    docker.start(engine_id)
    arguments = [engine.url, host_id, "unused", engine_id, "named"]
    try:
        for capabilities, reaches in ((f"-all,{kept}", True), ("-all,+net_admin,+net_raw,+kill", False)):
            command = [
                "setpriv",
                f"--bounding-set={capabilities}",
                "--no-new-privs",
                sys.executable,
                "-c",
                NAME_IT,
                *arguments,
            ]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) == reaches, done.stderr
        assert docker.run(engine_id, ["hostname"], "0", {}, 5).output.strip() == "named"
    finally:
        docker.remove(engine_id)
