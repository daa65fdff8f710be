"""Manifests that may be pulled, and those that may not, whoever says them."""

import json
from typing import Any

import pytest

from infra.hostagent.registry.errors import ImageFault, TooLarge, Unsupported
from infra.hostagent.registry.manifests import (
    CONFIGS,
    GZIP,
    INDEXES,
    MANIFESTS,
    PLAIN,
    ZSTD,
    check_config,
    checked,
    chosen,
    expect,
    machine,
)

SHA = "sha256:" + "a" * 64
LAYER = {"mediaType": GZIP[0], "size": 10, "digest": SHA}
CONFIG = {"mediaType": CONFIGS[0], "size": 10, "digest": SHA}
GOOD: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFESTS[0], "config": CONFIG, "layers": [LAYER]}
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
ELSEWHERE = LAYER | {"urls": ["http://169.254.169.254/"]}


def test_a_usual_manifest_is_taken_as_it_came() -> None:
    body = json.dumps(GOOD).encode()

    found = checked(body, MANIFESTS[0])

    assert (found.body, found.media_type, len(found.manifest.layers)) == (body, MANIFESTS[0], 1)
    assert expect(body, found.digest) == found.digest


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"layers": [LAYER | {"mediaType": FOREIGN}]}, Unsupported),
        ({"layers": [LAYER | {"mediaType": NONDISTRIBUTABLE}]}, Unsupported),
        (
            {"layers": [LAYER | {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"}]},
            Unsupported,
        ),
        ({"layers": [LAYER | {"mediaType": "application/vnd.oci.image.layer.v1.tar+xz"}]}, Unsupported),
        ({"layers": [ELSEWHERE]}, Unsupported),
        ({"config": CONFIG | {"urls": ["http://10.0.0.1/"]}}, Unsupported),
        ({"config": CONFIG | {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}, Unsupported),
        ({"config": CONFIG | {"size": 5_000_000}}, TooLarge),
        ({"layers": [LAYER] * 61}, TooLarge),
        ({"layers": [LAYER | {"size": 1_000_000_001}] * 2}, TooLarge),
        ({"layers": [LAYER | {"size": -1}]}, Unsupported),
        ({"layers": [LAYER | {"size": 10**30}]}, ImageFault),
        ({"layers": [LAYER | {"digest": "sha256:../../etc/passwd"}]}, Unsupported),
        ({"layers": [LAYER | {"digest": "md5:" + "a" * 32}]}, Unsupported),
        ({"layers": []}, Unsupported),
        ({"layers": "x"}, Unsupported),
        ({"schemaVersion": 1}, Unsupported),
        ({"manifests": []}, Unsupported),
        ({"mediaType": INDEXES[0]}, Unsupported),
        ({"config": None}, Unsupported),
    ],
)
def test_a_manifest_that_may_not_be_pulled_is_refused(changes: dict[str, Any], fault: type[ImageFault]) -> None:
    with pytest.raises(fault):
        checked(json.dumps(GOOD | changes).encode(), MANIFESTS[0])


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 50_000, b'{"layers": {}}'])
def test_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(Unsupported):
        checked(body, MANIFESTS[0])


def test_sixty_layers_and_two_gigabytes_are_just_right() -> None:
    assert checked(json.dumps(GOOD | {"layers": [LAYER | {"size": 33_000_000}] * 60}).encode(), MANIFESTS[0])


@pytest.mark.parametrize("kind", [*PLAIN, *GZIP, *ZSTD])
def test_layers_may_be_plain_gzip_or_zstd(kind: str) -> None:
    found = checked(json.dumps(GOOD | {"layers": [LAYER, LAYER | {"mediaType": kind}]}).encode(), MANIFESTS[0])

    assert found.manifest.has_zstd is (kind in ZSTD)


def an_index(*platforms: dict[str, Any] | None, kind: str = MANIFESTS[0]) -> bytes:
    entries = [{"mediaType": kind, "size": 5, "digest": SHA} | ({"platform": p} if p else {}) for p in platforms]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": entries}).encode()


def test_of_an_index_this_machines_part_is_taken() -> None:
    ours = {"os": "linux", "architecture": machine()}
    body = an_index({"os": "windows", "architecture": machine()}, {"os": "linux", "architecture": "s390x"}, ours)

    part = chosen(body, INDEXES[0])

    assert part is not None
    assert part.platform is not None
    assert (part.platform.os, part.platform.architecture) == ("linux", machine())
    assert chosen(json.dumps(GOOD).encode(), MANIFESTS[0]) is None


@pytest.mark.parametrize(
    "body",
    [
        an_index(),
        an_index(None),
        an_index({"os": "linux", "architecture": "s390x"}),
        an_index({"os": "linux", "architecture": machine()}, kind=INDEXES[0]),
        an_index(*[{"os": "linux", "architecture": machine()}] * 201),
    ],
)
def test_an_index_without_a_part_for_this_machine_is_refused(body: bytes) -> None:
    with pytest.raises(Unsupported):
        chosen(body, INDEXES[0])


def test_a_manifest_for_another_machine_is_refused_by_its_configuration() -> None:
    check_config(json.dumps({"os": "linux", "architecture": machine()}).encode())
    for said in ({"os": "windows", "architecture": machine()}, {"os": "linux", "architecture": "s390x"}, {}, []):
        with pytest.raises(Unsupported):
            check_config(json.dumps(said).encode())


def test_other_content_than_was_asked_for_is_refused() -> None:
    with pytest.raises(Unsupported):
        expect(b"x", SHA)
