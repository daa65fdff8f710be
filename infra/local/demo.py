"""The main job before a person's eyes: one container from POST to gone, through the public API, on a real engine."""

import json
import re
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

from infra.ground.engine import engine_at
from infra.ground.images import BOOKWORM, BaseImages
from infra.local import terminal
from infra.local.berth import Berth, BerthSettings, running_berth
from infra.local.errors import NotReady

FRAME_SECONDS = 120.0
"""The first container of all has its image prepared step by step; no step is silent for longer."""

MEMORY_MB = 512
INSIDE = (
    ". /etc/os-release; echo $PRETTY_NAME; hostname;"
    " cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes;"
    " cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max"
)

TYPED, SHOWN = "echo $((6 * 7)) on $(tty)", re.compile(r"42 on /dev/pts/\d+")
TRIES = 6
LOGIN = "BERTH_NO_TMUX=1 zsh -lic 'echo $USERNAME with zsh $ZSH_VERSION, theme $BERTH_THEME_LOADED, in $HOME'"


@dataclass(slots=True)
class Story:
    """What happened and when, seconds since the POST."""

    moments: list[tuple[str, str, float]] = field(default_factory=list)

    def tell(self, what: str, detail: str, seconds: float) -> None:
        """Note one moment."""
        self.moments.append((what, detail, seconds))


class Failed(NotReady):
    """The demonstration did not go as it should."""


class TooSlow(Exception):
    """This machine has not prepared the container's image in time; the host goes on with it."""


def run(console: Console, data: Path, cache: Path) -> int:
    """0 when everything went as it should; CloudError or GroundError otherwise."""
    say = terminal.sayer(console)
    with engine_at(data / "engine", say) as engine:
        with closing(engine.client()) as client:
            BaseImages(client, cache, say).ensure_bookworm()
        say(f"Docker {engine.version} at {engine.url}")
        say("starting the local cloud: API, WebSocket, queues, functions, host agent")
        with running_berth(BerthSettings(data=data, say=say), engine) as berth:
            story = _show(console, berth)
    _summary(console, story)
    return 0


def _show(console: Console, berth: Berth) -> Story:
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
        container = _created_at_last(console, api, socket, story)
        _look_inside(console, api, container["id"])
        _sit_down(console, api, container["id"])
        _list(console, api)
        _delete(console, api, socket, container["id"], story)
    return story


def _created_at_last(console: Console, api: httpx.Client, socket: ClientConnection, story: Story) -> dict[str, Any]:
    """The container; on a slow machine after further tries, each of which finds more of its image prepared."""
    for _ in range(TRIES):
        try:
            return _create(console, api, socket, story)
        except TooSlow as slow:
            console.print("  the image is still being prepared on this machine: asking again", highlight=False)
            story.moments.clear()
            api.delete(f"/containers/{slow}")
            while _frame(socket)["type"] != "deleted":
                continue
    raise Failed("the image was not prepared in time: run it again when the machine has less to do")


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
                    line = f"  {body['progress']:>3} %  {body['stage']:12} {body['message']}"
                    console.print(line, highlight=False, soft_wrap=True)
                ready = body.get("container", ready)
            elif frame["type"] == "updated":
                break
    if body.get("error", {}).get("code") == "timeout":
        raise TooSlow(body["id"])
    if body["status"] != "running":
        raise Failed(f"the container ended in {body['status']}: {body.get('error', {}).get('message')}")
    story.tell("running", f"engine container {body['container_id'][:12]}", time.monotonic() - began)
    return ready


def _look_inside(console: Console, api: httpx.Client, container_id: str) -> None:
    """Two commands inside: its own files, its own name, its own limits; and what people find who log in."""
    began = time.monotonic()
    inside = _run_inside(api, container_id, INSIDE)
    took = time.monotonic() - began
    system, hostname, memory, pids = inside.splitlines()
    shell = _run_inside(api, container_id, LOGIN).strip()
    if int(memory) != MEMORY_MB * 1024 * 1024:
        raise Failed(f"the memory limit read inside is {memory}, not {MEMORY_MB} MiB")
    console.print(f"\n[bold]POST /api/containers/{{id}}/exec[/] 200 after {took * 1000:.0f} ms", highlight=False)
    console.print(f"  system {system}, host name {hostname}", highlight=False)
    console.print(
        f"  memory limit {int(memory) // 1024 // 1024} MiB, at most {pids} processes (read from its own cgroup)",
        highlight=False,
    )
    console.print(f"  people log in as {shell}", highlight=False)


def _sit_down(console: Console, api: httpx.Client, container_id: str) -> None:
    """A terminal, with a key or two."""
    began = time.monotonic()
    answer = api.post(f"/containers/{container_id}/terminal")
    if answer.status_code != 200:
        raise Failed(f"the terminal was answered {answer.status_code}: {answer.text}")
    with connect(answer.json()["url"], proxy=None) as socket:
        while _frame(socket)["type"] != "shell_ready":
            continue
        took = time.monotonic() - began
        socket.send(json.dumps({"type": "input", "data": f"{TYPED}\n"}))
        shown = ""
        while not (found := SHOWN.search(shown)):
            frame = _frame(socket)
            shown += frame.get("data", "") if frame["type"] == "output" else ""
    head = f"[bold]POST /api/containers/{{id}}/terminal[/] 200, a shell after {took * 1000:.0f} ms"
    console.print(f"\n{head}", highlight=False)
    console.print(f"  typed  {TYPED}\n  shown  {found[0]}", highlight=False, markup=False)


def _run_inside(api: httpx.Client, container_id: str, command: str) -> str:
    """What it printed; Failed when it was refused or did not end well."""
    answer = api.post(f"/containers/{container_id}/exec", json={"command": command})
    if answer.status_code != 200 or answer.json()["exit_code"]:
        raise Failed(f"the command was answered {answer.status_code}: {answer.text}")
    return str(answer.json()["stdout"])


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
