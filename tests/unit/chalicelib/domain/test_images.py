"""Custom images: what may be pulled, and sixty references that may not."""

import pytest

from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.images import choose_image

ALLOWED = [
    "nginx", "nginx:1.27", "library/nginx", "a/b/c:x", "docker.io/library/nginx", "ghcr.io/owner/image:1",
    "quay.io/org/app", "public.ecr.aws/x/y:z", "mcr.microsoft.com/dotnet/sdk:8.0", "gcr.io/p/i",
    "mirror.gcr.io/library/alpine", "quay.io:443/x/y", "nginx@sha256:" + "0" * 64, "a__b/c-d--e.f",
]  # fmt: skip
HOSTILE = [
    "127.0.0.1/x", "127.0.0.1:5000/x", "127.1/x", "127.0.0.1.nip.io/x", "0.0.0.0/x", "0/x:1@", "2130706433:80/x",
    "0x7f000001:80/x", "0177.0.0.1/x", "localhost/x", "localhost:5000/x", "LOCALHOST/x", "LocalHost:5000/x",
    "localhost.localdomain/x", "[::1]/x", "[::1]:5000/x", "[::ffff:127.0.0.1]/x", "[fd00:ec2::254]/x", "10.0.0.1/x",
    "10.0.0.1:443/x", "172.16.0.1/x", "192.168.1.1:5000/x", "169.254.169.254/x", "169.254.169.254/latest/meta-data",
    "169.254.170.2/v2/x", "100.64.0.1/x", "metadata.google.internal/x", "registry.local/x", "registry.internal/x",
    "registry.svc/x", "registry.default.svc.cluster.local/x", "registry:5000/x", "host.docker.internal/x",
    "gateway.docker.internal:5000/x", "kubernetes.default/x", "evil.example/x", "docker.io.evil.example/x",
    "ghcr.io.evil.example/x", "evil.example/ghcr.io/x", "ghcr.io:80/x", "ghcr.io:22/x", "ghcr.io:5000/x",
    "docker.io:8443/x", "GHCR.IO.evil.example/x", "user@ghcr.io/x", "user:pass@ghcr.io/x", "https://ghcr.io/x",
    "http://127.0.0.1/x", "//ghcr.io/x", "ghcr.io//x", "ghcr.io/../x", "../x", "./x", "/etc/passwd", "ghcr.io/x?y=1",
    "ghcr.io/x#y", "ghcr.io/x y", "ghcr.io/x\n", "ghcr.io/x\0", "ghcr.io/x\r\nHost: y", "ghcr.iо/x", "ｇｈｃｒ.io/x",
    "xn--ghcr-io/x.y:z@", "ghcr.io/X", "ghcr.io/x:", "ghcr.io/x@sha256:abc", "ghcr.io/x@md5:" + "0" * 32, "", " ",
    "a" * 256, "ghcr.io/" + "a/" * 130 + "a", "-x", "x-", "_x", "x:" + "t" * 129, "$(id)", "`id`", "x;y", "x|y", "x&y",
    "%2e%2e/x", "ghcr.io%2fx", "sha256:" + "0" * 64 + "@x",
]  # fmt: skip


@pytest.mark.parametrize("reference", ALLOWED)
def test_references_to_listed_registries_are_taken_as_they_are(reference: str) -> None:
    assert choose_image("custom", reference).reference == reference


@pytest.mark.parametrize("reference", HOSTILE)
def test_hostile_references_are_refused(reference: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        choose_image("custom", reference)

    assert refused.value.extra["field"] == "custom_image"


def test_the_table_is_as_long_as_promised() -> None:
    assert len(set(HOSTILE)) >= 60
