"""The agent as its engine's registry: what is being pulled and nothing else, to nobody who cannot name it."""

import gzip
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chalicelib.contract.kept_names import TEMPORARY
from infra.hostagent.ports import EngineRefused
from infra.hostagent.registry.errors import DiskFull, ImageFault, TooLarge, Unanswered, Unsupported
from infra.hostagent.registry.gate import TAG
from infra.hostagent.registry.leftovers import Leftovers
from infra.hostagent.registry.manifests import ZSTD
from infra.hostagent.registry.network import Network
from infra.hostagent.registry.pins import pin_of
from infra.hostagent.registry.setup import room_on
from infra.hostagent.registry.source import GuardedSource
from tests.fakes.pulling import Bench, FetchingEngine, pulling
from tests.fakes.registry import Answer, bomb, digest, tar_layer, zstd_bomb


@pytest.fixture
def bench() -> Iterator[Bench]:
    with pulling() as found:
        yield found


def test_an_image_comes_through_and_gets_its_name_and_its_digests(bench: Bench) -> None:
    wanted = bench.registry.image("a/b", "1", tar_layer(x=b"y"), tar_layer(z=os.urandom(300_000)))

    assert bench.pull("a/b:1")

    assert bench.engine.images() == [f"{bench.registry.address}/a/b:1"]
    found = bench.engine.image(f"{bench.registry.address}/a/b:1")
    assert found is not None
    assert found.digest == wanted
    assert bench.engine.image(pin_of(wanted)) == found


def test_what_has_been_pulled_is_served_no_more_and_other_names_never(bench: Bench) -> None:
    wanted = bench.registry.image("a/b", "1", tar_layer(x=b"y"))
    bench.pull("a/b:1")
    [address] = bench.engine.addresses

    name = address.partition("/")[2].partition(":")[0]
    assert len(name.removeprefix(TEMPORARY)) == 32
    paths = [f"{each}/manifests/{wanted}" for each in (name, TEMPORARY, "a/b")]
    for path in (*paths, f"{name}/manifests/{TAG}", "_catalog", ""):
        status = httpx.get(f"http://{bench.gate.address}/v2/{path}", trust_env=False).status_code
        assert status == (200 if path == "" else 404), path


def test_an_engine_that_tries_tls_is_answered_at_once(bench: Bench) -> None:
    host, _, port = bench.gate.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        connection.sendall(b"\x16\x03\x01\x00\x50no line ends here")
        assert connection.recv(100).startswith(b"HTTP/1.0 400")


def test_a_bomb_is_cut_off_told_and_the_engine_given_up(bench: Bench) -> None:
    bench.registry.image("a/b", "1", bomb(1))

    with pytest.raises(TooLarge):
        bench.pull("a/b:1")
    assert bench.engine.given_up == bench.engine.addresses
    assert bench.engine.images() == []


def with_layer(bench: Bench, content: bytes, media_type: str) -> None:
    manifest = bench.registry.manifest_of("a/b", tar_layer(x=b"y"))
    entry = {"mediaType": media_type, "digest": bench.registry.blob("a/b", content), "size": len(content)}
    manifest["layers"] = [manifest["layers"][0] | entry]
    bench.registry.manifest("a/b", "1", manifest)


@pytest.mark.parametrize("media_type", ZSTD)
def test_a_bomb_of_zstd_is_cut_off_told_and_the_engine_given_up(bench: Bench, media_type: str) -> None:
    with_layer(bench, zstd_bomb(1), media_type)

    with pytest.raises(TooLarge):
        bench.pull("a/b:1")
    assert bench.engine.given_up == bench.engine.addresses
    assert bench.engine.images() == []


def test_layers_of_zstd_come_through_to_an_engine_that_reads_them(bench: Bench) -> None:
    wanted = bench.registry.zstd_image("a/b", "1", tar_layer(x=b"y"), tar_layer(z=os.urandom(300_000)))

    assert bench.pull("a/b:1")

    found = bench.engine.image(f"{bench.registry.address}/a/b:1")
    assert found is not None
    assert found.digest == wanted


@pytest.mark.parametrize(
    ("version", "reads"),
    [("20.10.24+dfsg1", False), ("22.06.0-beta.0", False), ("dev", False), ("23.0.0", True), ("29.5.1", True)],
)
def test_only_engines_that_unpack_zstd_are_given_it(bench: Bench, version: str, reads: bool) -> None:
    bench.registry.zstd_image("a/b", "1", tar_layer(x=b"y"))
    bench.engine.version = version

    if reads:
        bench.pull("a/b:1")
    else:
        with pytest.raises(Unsupported, match=r"zstd.*Docker"):
            bench.pull("a/b:1")
    assert bool(bench.registry.asked("/blobs/")) is reads


@pytest.mark.parametrize(
    ("content", "said", "fault"),
    [
        (gzip.compress(b"x" * 5000), 10, TooLarge),
        (gzip.compress(os.urandom(5000)), 10_000, ImageFault),
        (b"no gzip at all", None, Unsupported),
    ],
    ids=["longer than said", "shorter than said", "no gzip"],
)
def test_layers_that_are_not_what_was_said_are_refused(
    bench: Bench, content: bytes, said: int | None, fault: type[ImageFault]
) -> None:
    manifest = bench.registry.manifest_of("a/b", tar_layer(x=b"y"))
    entry = {"digest": bench.registry.blob("a/b", content), "size": len(content) if said is None else said}
    manifest["layers"] = [manifest["layers"][0] | entry]
    bench.registry.manifest("a/b", "1", manifest)

    with pytest.raises(fault):
        bench.pull("a/b:1")
    assert bench.engine.images() == []


def test_other_content_under_the_same_digest_never_becomes_an_image(bench: Bench) -> None:
    layer = tar_layer(x=b"y")
    bench.registry.image("a/b", "1", layer)
    other = tar_layer(x=b"z")
    bench.registry.answers[f"/v2/a/b/blobs/{digest(layer)}"] = Answer(body=other)

    with pytest.raises((EngineRefused, ImageFault)):
        bench.pull("a/b:1")
    assert bench.engine.images() == []


def test_a_manifest_under_another_digest_is_refused_before_the_engine_hears_of_it(bench: Bench) -> None:
    wanted = bench.registry.image("a/b", "1", tar_layer(x=b"y"))
    bench.registry.image("a/b", "2", tar_layer(x=b"z"))
    path = "/v2/a/b/manifests/"
    bench.registry.answers[f"{path}{wanted}"] = bench.registry.answers[f"{path}2"]

    with pytest.raises(Unsupported):
        bench.pull(f"a/b@{wanted}")
    assert bench.engine.addresses == []


def test_an_engine_that_was_cut_off_has_no_image(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"y"))

    class Cut(FetchingEngine):
        def pull(self, reference: str) -> Iterator[dict[str, Any]]:
            yield {"status": "Pulling"}

    engine = Cut()
    source = GuardedSource(engine, bench.source._client, bench.gate, lambda: None)

    with pytest.raises(Unanswered):
        list(source.pull(f"{bench.registry.address}/a/b:1"))


def test_a_full_disk_takes_no_image() -> None:
    room_on(Path("/"), fullest=1.0)()
    room_on(Path("/no/such/folder"))()
    with pytest.raises(DiskFull):
        room_on(Path("/"), fullest=0.0)()


def test_names_that_a_killed_agent_left_are_taken_away_and_those_that_are_served_stay(bench: Bench) -> None:
    bench.registry.image("a/b", "1", tar_layer(x=b"y"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}/{TEMPORARY}{'a' * 32}:{TAG}"
    ended = f"{bench.gate.address}/{TEMPORARY}{'b' * 32}:{TAG}"
    bench.engine.present |= {nobody, ended, "someone/berth-pull-x:1", "debian:bookworm"}

    class Beside(FetchingEngine):
        """Another agent begins a pull while this one names its image."""

        def tag(self, reference: str, name: str) -> None:
            Leftovers(self, Network()).sweep()
            super().tag(reference, name)

    engine = Beside(present=bench.engine.present)
    source = GuardedSource(engine, bench.source._client, bench.gate, lambda: None)
    list(source.pull(f"{bench.registry.address}/a/b:1"))

    assert engine.images() == sorted([f"{bench.registry.address}/a/b:1", "debian:bookworm", "someone/berth-pull-x:1"])


def test_an_engine_that_does_not_answer_keeps_what_was_left(bench: Bench) -> None:
    bench.engine.present.add(f"{bench.gate.address}/{TEMPORARY}{'b' * 32}:{TAG}")
    bench.engine.down = True

    Leftovers(bench.engine, Network()).sweep()

    assert len(bench.engine.present) == 1
