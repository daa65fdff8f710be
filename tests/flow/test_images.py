"""Every documented image by its name, from request to running: pulled, pinned, told of.

Where no public registry answers, the loopback registry serves labelled stand-ins under those names, and the output says
so for each of them.
"""

import contextlib
import time
from collections.abc import Iterator

import docker
import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY, BaseImages
from infra.ground.registry import Registry
from tests.engines import CACHE, say
from tests.flow.conftest import PATIENCE_SECONDS, User
from tests.inside import run_in

NAMES = {"ubuntu:24.04": "Ubuntu 24.04", "alpine:latest": "Alpine Linux", "archlinux:latest": "Arch Linux"}
CUSTOM = "berth-stand-in/custom:1"


@pytest.fixture(scope="module")
def served(engine: Engine, registry: Registry) -> Iterator[dict[str, bool]]:
    """Whether the image that a pull of this name brings is a stand-in; none of them is on the engine."""
    stand_ins = {}
    with contextlib.closing(engine.client()) as client:
        for name, title in (NAMES | {CUSTOM: "Custom"}).items():
            if not _pullable(client, name):
                BaseImages(client, CACHE, say).stand_in("berth-stand-in/made:1", title, TINY)
                registry.hold("berth-stand-in/made:1", name if "/" in name else f"library/{name}")
                client.images.pull(*name.split(":"))
            stand_ins[name] = "berth.stand_in" in (client.images.get(name).labels or {})
            _forget(client, name)
        yield stand_ins
        for name in (*NAMES, CUSTOM):
            _forget(client, name)


def _pullable(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.pull(*name.split(":"))
    except docker.errors.APIError:
        return False
    return True


def _forget(client: docker.DockerClient, name: str) -> None:
    """Its other names too, by which its digest is known, once nothing runs from it any more."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            client.images.remove(client.images.get(name).id, force=True)
        except docker.errors.ImageNotFound:
            return
        except docker.errors.APIError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("name", [*NAMES, "custom"])
def test_a_documented_image_is_pulled_pinned_and_runs(
    user: User, engine: Engine, served: dict[str, bool], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pulled = CUSTOM if name == "custom" else name
    fields = {"image": name} | ({"custom_image": CUSTOM} if name == "custom" else {})
    fields["shell"] = {"enhanced": False}  # type: ignore[assignment]

    created = user.create(**fields)
    item = user.until(created["id"], "running")

    assert item["image"] == (f"custom:{CUSTOM}" if name == "custom" else name)
    assert item["image_digest"].startswith("sha256:")
    with contextlib.closing(engine.client()) as client:
        release = run_in(client.api, item["container_id"], ["cat", "/etc/os-release"]).output.decode()
    assert served[pulled] == ("(stand-in)" in release)
    with capsys.disabled():
        say(f"{name}: {'a labelled STAND-IN from the loopback registry' if served[pulled] else 'the real image'} ran")
    user.http.delete(f"/containers/{created['id']}")
