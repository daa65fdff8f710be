"""Custom images: what may be pulled, and sixty references that may not."""

import pytest

from chalicelib.domain.errors import InvalidRequest
from chalicelib.domain.images import choose_image
from tests.hostile_references import HOSTILE

ALLOWED = [
    "nginx", "nginx:1.27", "library/nginx", "a/b/c:x", "docker.io/library/nginx", "ghcr.io/owner/image:1",
    "quay.io/org/app", "public.ecr.aws/x/y:z", "mcr.microsoft.com/dotnet/sdk:8.0", "gcr.io/p/i",
    "mirror.gcr.io/library/alpine", "quay.io:443/x/y", "nginx@sha256:" + "0" * 64, "a__b/c-d--e.f",
    "berth-test/tiny:1", "someone/berth-pin", "someone/berth:1", "ghcr.io/berth/role:1", "ghcr.io/a/sha256:1", "cafe",
]  # fmt: skip


@pytest.mark.parametrize("reference", ALLOWED)
def test_references_to_listed_registries_are_taken_as_they_are(reference: str) -> None:
    assert choose_image("custom", reference).reference == reference


@pytest.mark.parametrize("reference", HOSTILE)
def test_hostile_references_are_refused(reference: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        choose_image("custom", reference)

    assert refused.value.extra["field"] == "custom_image"
