"""What cannot work ends in `error` with a reason a user can act on, on the socket and on GET."""

import contextlib
import time
from pathlib import Path
from typing import Any

import httpx

from infra.ground.engine import PrivateEngine
from infra.ground.images import TINY, BaseImages
from infra.local.berth import BerthSettings, running_berth
from tests.engines import CACHE, say
from tests.flow.conftest import RATES, User, frames

IMAGE_CODES = {"image_not_found", "image_denied", "image_timeout"}


def test_an_image_that_cannot_be_had_ends_in_error_and_delete_gives_everything_back(user: User) -> None:
    image = "docker.io/berth-no-such-owner/no-such-image:1"
    with user.subscribe() as socket:
        frames(socket, lambda frame: True)
        created = user.create(image="custom", custom_image=image, name="web")
        heard = frames(socket, lambda frame: frame["type"] == "updated")

    progress, updated = heard[-2]["container"], heard[-1]["container"]
    assert (progress["stage"], progress["complete"], progress["progress"]) == ("error", True, 0)
    assert updated["status"] == "error"
    assert progress["error"] == updated["error"]
    item = user.http.get(f"/containers/{created['id']}").json()
    assert item["status"] == "error"
    assert item["error"] == updated["error"]
    assert item["error"]["code"] in IMAGE_CODES
    assert item["error"]["actor"] == "system"
    assert image in item["error"]["message"]
    for leak in ("dial tcp", "127.0.0.1", "/var/", "Get ", "http"):
        assert leak not in item["error"]["message"]
    conflict = user.http.post("/containers", json={"image": "debian", "name": "web"})
    assert conflict.status_code == 409

    user.http.delete(f"/containers/{created['id']}")

    assert user.create(name="web")["name"] == "web"
    assert user.http.get("/containers").json()["count"] == 1


def reserved(berth: Any) -> list[int]:
    return [row["containers"] for row in berth.operator("list-hosts")["hosts"]]


def test_an_engine_that_goes_down_is_told_and_all_is_well_when_it_is_back(tmp_path: Path) -> None:
    private = PrivateEngine(tmp_path / "engine")
    engine = private.start(say)
    options = ("--engine-patience-seconds", "1", "--look-seconds", "0.5", "--heartbeat-seconds", "1")
    settings = BerthSettings(tmp_path / "berth", environment=RATES, agent_options=options, schedule_speed=60.0)
    try:
        with contextlib.closing(engine.client()) as client:
            images = BaseImages(client, CACHE, say)
            images.ensure_tiny()
            client.images.get(TINY).tag("debian:bookworm")
        with running_berth(settings, engine) as berth:
            made = berth.new_user()
            headers = {"Authorization": f"Bearer {made['token']}"}
            with httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False) as http:
                user = User(berth, made["user_id"], made["token"], http)
                running = user.create(memory_mb=256)
                user.until(running["id"], "running")

                private.stop()
                during = user.create(memory_mb=256)
                time.sleep(3)
                seen = http.get(f"/containers/{during['id']}").json()
                assert seen["status"] in ("creating", "error")
                if seen["status"] == "error":
                    assert seen["error"]["code"] == "engine_error"
                private.start(say)

                ended = user.until(during["id"], "running", "error")
                assert ended["status"] == "running" or ended["error"]["code"] == "engine_error"
                stopped = user.until(running["id"], "stopped")
                assert stopped["stopped_because"]["code"] in ("exited", "engine_error")
                user.delete_all()
                ends = time.monotonic() + 30
                while reserved(berth) != [0] and time.monotonic() < ends:
                    time.sleep(0.5)
                assert reserved(berth) == [0]
                assert user.http.get("/containers").json()["count"] == 0
    finally:
        private.stop()
