"""What people see of the local cloud: a running cloud comes in, tables and lines to copy go out."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.local.berth import Berth
from infra.local.cloud import LocalCloud


def sayer(console: Console) -> Callable[[str], None]:
    """Tells a person one line."""

    def say(line: str) -> None:
        console.print(f"[dim]==>[/] {line}", highlight=False, soft_wrap=True)

    return say


def show_up(console: Console, berth: Berth, token: str, data: Path) -> None:
    """Where everything listens, and lines to copy."""
    table = Table(title="Berth is up", title_justify="left", show_header=False)
    for name, where in _places(berth, data):
        table.add_row(name, where)
    console.print(table)
    console.print(_hosts(berth))
    _copy(console, "A user of the free tier; its token, shown this once:", f"export BERTH_TOKEN={token}")
    bearer = '-H "Authorization: Bearer $BERTH_TOKEN"'
    _copy(
        console,
        "Create a container:",
        f"curl -s -X POST {berth.url}/containers {bearer} -H 'Content-Type: application/json' "
        '-d \'{"image":"debian:bookworm","name":"web"}\'',
    )
    _copy(console, "See it:", f"curl -s {berth.url}/containers {bearer}")
    _copy(console, "Work in it:", "make shell NAME=web")
    _copy(
        console,
        "Watch its stages (start this first, in another terminal):",
        f".venv/bin/websockets '{berth.socket_url}?token='$BERTH_TOKEN",
    )
    operator = ".venv/bin/python -m infra.aws.operator"
    _copy(console, "Be its operator:", f"source {data}/environment && {operator} list-hosts")
    if len(berth.hosts) > 1:
        last = list(berth.hosts)[-1]
        _copy(console, "Take no more containers on a host, and see what runs where:", f"{operator} drain-host {last}")
        console.print(f"  {operator} list-containers", highlight=False, soft_wrap=True)
    _copy(console, "Compare all that is recorded with what runs:", "make audit")
    console.print("\nCode changes are live at the next request. Ctrl-C stops everything.", highlight=False)


def show_cloud(console: Console, cloud: LocalCloud) -> None:
    """Where a plain Chalice app listens."""
    table = Table(title="The local cloud is up", title_justify="left", show_header=False)
    table.add_row("REST", cloud.url)
    table.add_row("WebSocket", cloud.url.replace("http", "ws", 1))
    table.add_row("AWS (moto)", cloud.aws_environment["AWS_ENDPOINT_URL"])
    console.print(table)


def _places(berth: Berth, data: Path) -> list[tuple[str, str]]:
    return [
        ("REST", berth.url),
        ("WebSocket", f"{berth.socket_url} and {berth.socket_url}/containers/events"),
        ("AWS (moto)", berth.cloud.aws_environment["AWS_ENDPOINT_URL"]),
        ("Logs", str(data / "logs")),
    ]


def _hosts(berth: Berth) -> Table:
    """Each host's agent and engine."""
    table = Table("host", "agent", title="Hosts", title_justify="left")
    table.add_column("Docker engine", overflow="fold")
    for host in berth.hosts.values():
        whose = "private, ends with this" if host.engine.owned else "was running"
        report = berth.report(host.id)
        disks = (
            "" if report is None or report.disk_limited else "\nwhat containers write is NOT limited (docs/hosts.md)"
        )
        table.add_row(host.id, host.url, f"{host.engine.version}, {whose}\n{host.engine.url}{disks}")
    return table


def _copy(console: Console, heading: str, line: str) -> None:
    """A line to copy is never wrapped, coloured or framed."""
    console.print(f"\n[bold]{heading}[/]", highlight=False)
    console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
