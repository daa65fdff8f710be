"""The main job before a person's eyes: one container from POST to gone, through the public API, on a real engine."""

import json
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from websockets.sync.client import ClientConnection, connect

from infra.ground.engine import Engine, engine_at
from infra.ground.images import BOOKWORM, BaseImages
from infra.local import terminal
from infra.local.berth import Berth, BerthSettings, running_berth
from infra.local.errors import NotReady

FRAME_SECONDS = 60.0
MEMORY_MB = 512
INSIDE = (
    ". /etc/os-release; echo $PRETTY_NAME; hostname;"
    " cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes;"
    " cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max"
)


@dataclass(slots=True)
class Story:
    """What happened and when, seconds since the POST."""

    moments: list[tuple[str, str, float]] = field(default_factory=list)

    def tell(self, what: str, detail: str, seconds: float) -> None:
        """Note one moment."""
        self.moments.append((what, detail, seconds))


class Failed(NotReady):
    """The demonstration did not go as it should."""


def run(console: Console, data: Path, cache: Path) -> int:
    """0 when everything went as it should; CloudError or GroundError otherwise."""
    say = terminal.sayer(console)
    with engine_at(data / "engine", say) as engine:
        with closing(engine.client()) as client:
            BaseImages(client, cache, say).ensure_bookworm()
        say(f"Docker {engine.version} at {engine.url}")
        say("starting the local cloud: API, WebSocket, queues, functions, host agent")
        with running_berth(BerthSettings(data=data, say=say), engine) as berth:
            story = _show(console, berth, engine)
    _summary(console, story)
    return 0


def _show(console: Console, berth: Berth, engine: Engine) -> Story:
    say = terminal.sayer(console)
    say(f"REST at {berth.url}, WebSocket at {berth.socket_url}")
    token = berth.new_user()["token"]
    say(f"a user of the free tier has a token: {token[:12]}…")
    headers = {"Authorization": f"Bearer {token}"}
    story = Story()
    with (
        httpx.Client(base_url=berth.url, headers=headers, timeout=30, trust_env=False) as api,
        connect(berth.socket_url, additional_headers=headers, proxy=None) as socket,
    ):
        listed = _frame(socket)
        say(f"WebSocket open; first frame: {listed['type']} with {listed['container']['count']} containers")
        container = _create(console, api, socket, story)
        _look_inside(console, engine, container["container_id"])
        _list(console, api)
        _delete(console, api, socket, container["id"], story)
    return story


def _create(console: Console, api: httpx.Client, socket: ClientConnection, story: Story) -> dict[str, Any]:
    body = {"image": BOOKWORM, "name": "demo", "memory_mb": MEMORY_MB}
    console.print(f"\n[bold]POST /api/containers[/] {json.dumps(body)}", highlight=False, soft_wrap=True)
    began = time.monotonic()
    accepted = api.post("/containers", json=body)
    took = time.monotonic() - began
    if accepted.status_code != 202:
        raise Failed(f"POST was answered {accepted.status_code}: {accepted.text}")
    story.tell("202 accepted", f"id {accepted.json()['id']}", took)
    console.print(f"[green]202[/] after {took * 1000:.0f} ms; the stages arrive on the WebSocket:", highlight=False)
    return _follow(console, socket, story, began)


def _follow(console: Console, socket: ClientConnection, story: Story, began: float) -> dict[str, Any]:
    bar = Progress(
        TextColumn("  {task.fields[stage]:12}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.description}"),
        TimeElapsedColumn(),
        console=console,
    )
    ready: dict[str, Any] = {}
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task("accepted", total=100, stage="accepted")
        while True:
            frame = _frame(socket)
            body = frame["container"]
            if frame["type"] == "progress":
                story.tell(body["stage"], body["message"], time.monotonic() - began)
                bar.update(task, completed=body["progress"], description=body["message"], stage=body["stage"])
                if not console.is_terminal:
                    console.print(f"  {body['progress']:>3} %  {body['stage']:12} {body['message']}", highlight=False)
                ready = body.get("container", ready)
            elif frame["type"] == "updated":
                break
    if body["status"] != "running":
        raise Failed(f"the container ended in {body['status']}: {body.get('error', {}).get('message')}")
    story.tell("running", f"engine container {body['container_id'][:12]}", time.monotonic() - began)
    return ready


def _look_inside(console: Console, engine: Engine, engine_id: str) -> None:
    """One command inside, by the engine: its own files, its own name, its own limits."""
    with closing(engine.client()) as client:
        ran: Any = client.containers.get(engine_id).exec_run(["sh", "-c", INSIDE])
        output = ran.output.decode().split("\n")
    system, hostname, memory, pids = output[:4]
    if int(memory) != MEMORY_MB * 1024 * 1024:
        raise Failed(f"the memory limit read inside is {memory}, not {MEMORY_MB} MiB")
    console.print("\n[bold]Inside the container[/]", highlight=False)
    console.print(f"  system {system}, host name {hostname}", highlight=False)
    console.print(
        f"  memory limit {int(memory) // 1024 // 1024} MiB, at most {pids} processes (read from its own cgroup)",
        highlight=False,
    )


def _list(console: Console, api: httpx.Client) -> None:
    listing = api.get("/containers").json()
    console.print(f"\n[bold]GET /api/containers[/] {listing['count']} of {listing['limit']}", highlight=False)
    for item in listing["containers"]:
        console.print(f"  {item['name']}  {item['image']}  {item['status']}  {item['id']}", highlight=False)


def _delete(console: Console, api: httpx.Client, socket: ClientConnection, container_id: str, story: Story) -> None:
    began = time.monotonic()
    answer = api.delete(f"/containers/{container_id}")
    if answer.status_code != 200:
        raise Failed(f"DELETE was answered {answer.status_code}: {answer.text}")
    frame = _frame(socket)
    gone = time.monotonic() - began
    after = api.get(f"/containers/{container_id}").status_code
    console.print(f"\n[bold]DELETE[/] 200, then frame {frame['type']}; GET now answers {after}", highlight=False)
    story.tell("deleted", f"{gone:.2f} s from DELETE to gone from the engine", gone)
    if (frame["type"], after) != ("deleted", 404):
        raise Failed("the container was not deleted as it should be")


def _frame(socket: ClientConnection) -> dict[str, Any]:
    try:
        frame: dict[str, Any] = json.loads(socket.recv(timeout=FRAME_SECONDS))
    except TimeoutError as error:
        raise Failed(f"no frame came for {FRAME_SECONDS:.0f} seconds") from error
    return frame


def _summary(console: Console, story: Story) -> None:
    table = Table(title="\nWhat happened", title_justify="left")
    table.add_column("stage")
    table.add_column("at", justify="right")
    table.add_column("took", justify="right")
    table.add_column("what")
    before = 0.0
    for what, detail, at in story.moments:
        if what == "deleted":
            table.add_row(what, "", f"{at:.2f} s", detail)
            continue
        table.add_row(what, f"{at:.2f} s", f"{at - before:.2f} s", detail)
        before = at
    console.print(table)
    console.print("[green]Everything went as it should; nothing was left running.[/]", highlight=False)
