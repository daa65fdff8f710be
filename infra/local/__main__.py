"""`python -m infra.local up|demo|serve|shell|audit`: the local cloud from the command line."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infra.ground.engine import Engine
from infra.ground.errors import GroundError
from infra.local import demo, shell, terminal
from infra.local.berth import BerthSettings, open_berth
from infra.local.cloud import CloudSettings, LocalCloud, open_cloud
from infra.local.engines import engines_at
from infra.local.errors import CloudError, NotReady
from infra.local.processes import python
from infra.local.running import environment_of, forget_environment, write_environment

CACHE = Path(".berth/cache")


def main() -> int:
    """0 after a clean stop; 1 with one line that says what is wrong."""
    parsed = _parser().parse_args()
    console = Console()
    try:
        return int(parsed.work(parsed, console))
    except (CloudError, GroundError) as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def up(parsed: argparse.Namespace, console: Console) -> int:
    """Berth until Ctrl-C or SIGTERM."""
    say = terminal.sayer(console)
    settings = BerthSettings(
        data=parsed.data,
        port=parsed.port,
        moto_port=parsed.moto_port,
        agent_port=parsed.agent_port,
        hosts=parsed.hosts,
        agent_options=("--warm-memory", str(parsed.warm_memory)),
        reload=True,
        say=say,
    )

    async def run(engines: list[Engine]) -> None:
        over = _signalled()
        async with open_berth(settings, *engines) as berth:
            user = await asyncio.to_thread(berth.new_user)
            write_environment(parsed.data, berth.environment | {"BERTH_API_URL": berth.url})
            terminal.show_up(console, berth, user["token"], parsed.data)
            await _until(over, berth.cloud)
            say("stopping")

    with engines_at(parsed.data, parsed.hosts, CACHE, say) as engines:
        try:
            asyncio.run(run(engines))
        finally:
            forget_environment(parsed.data)
    say("stopped; nothing was left running")
    return 0


def show(parsed: argparse.Namespace, console: Console) -> int:
    """One container from POST to gone."""
    return demo.run(console, parsed.data, CACHE)


def serve(parsed: argparse.Namespace, console: Console) -> int:
    """Any Chalice app until Ctrl-C or SIGTERM."""
    settings = CloudSettings(
        project=parsed.project,
        data=parsed.data,
        port=parsed.port,
        moto_port=parsed.moto_port,
        template=parsed.template,
        gateway_responses=json.loads(parsed.gateway_responses.read_text()) if parsed.gateway_responses else {},
        reload=True,
        say=terminal.sayer(console),
    )

    async def run() -> None:
        over = _signalled()
        async with open_cloud(settings) as cloud:
            terminal.show_cloud(console, cloud)
            await _until(over, cloud)

    asyncio.run(run())
    return 0


async def _until(over: asyncio.Event, cloud: LocalCloud) -> None:
    """Until somebody says so, or Broken."""
    told, broken = asyncio.create_task(over.wait()), asyncio.create_task(cloud.until_broken())
    done, waiting = await asyncio.wait({told, broken}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    for task in done:
        await task


def open_shell(parsed: argparse.Namespace, _console: Console) -> int:
    """A terminal in a container; 1 when its connection broke."""
    token = os.environ.get("BERTH_TOKEN", "")
    if not token:
        raise NotReady("set BERTH_TOKEN to your token first: `make up` has printed one")
    api = parsed.api or environment_of(parsed.data)["BERTH_API_URL"]
    return asyncio.run(shell.run(shell.Place(api, parsed.container, token, parsed.user)))


def audit(parsed: argparse.Namespace, _console: Console) -> int:
    """Compare all that the Berth of `up` has recorded with what runs; 1 when they differ."""
    options = [*(["--json"] if parsed.json else []), "audit", *(["--repair"] if parsed.repair else [])]
    environment = {**os.environ, **environment_of(parsed.data)}
    return subprocess.run(python("infra.aws.operator", *options), env=environment, check=False).returncode


def _signalled() -> asyncio.Event:
    """Set at the first Ctrl-C or SIGTERM; the second Ctrl-C ends the program at once."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        over.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told)
    return over


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="Berth's local cloud.")
    verbs = parser.add_subparsers(required=True)
    keep = verbs.add_parser("up", help="keep Berth running")
    _ports(keep, Path(".berth/up"), port=8080)
    keep.add_argument("--agent-port", type=int, default=0, help="the host agent's port (default: any free one)")
    keep.add_argument(
        "--hosts", type=int, default=1, help="how many hosts (default 1), each on its own engine if we start it"
    )
    keep.add_argument(
        "--warm-memory",
        type=int,
        default=128,
        help="MB of each host for containers started ahead (default 128, 0: none)",
    )
    keep.set_defaults(work=up)
    once = verbs.add_parser("demo", help="one container from POST to gone")
    once.add_argument("--data", type=Path, default=Path(".berth/demo"), help="folder for everything it writes")
    once.set_defaults(work=show)
    other = verbs.add_parser("serve", help="run any Chalice app")
    _ports(other, Path(".berth/serve"), port=8080)
    other.add_argument("--project", type=Path, default=Path(), help="folder with app.py")
    other.add_argument("--template", type=Path, help="CloudFormation template with its tables and queues")
    other.add_argument("--gateway-responses", type=Path, help="JSON of API Gateway's own answers")
    other.set_defaults(work=serve)
    inside = verbs.add_parser("shell", help="a terminal in a container (Ctrl-] leaves)")
    inside.add_argument("container", help="its name or id")
    inside.add_argument(
        "--user", choices=("user", "root"), default="", help="as whom (default: as the container has it)"
    )
    inside.add_argument("--api", default="", help="its REST API, https://…/api (default: the running `make up`)")
    inside.add_argument("--data", type=Path, default=Path(".berth/up"), help="the folder of `up`")
    inside.set_defaults(work=open_shell)
    compare = verbs.add_parser("audit", help="compare what the running Berth has recorded with what runs")
    compare.add_argument("--data", type=Path, default=Path(".berth/up"), help="the folder of `up`")
    compare.add_argument("--repair", action="store_true", help="mend counters, names and reservations")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(work=audit)
    return parser


def _ports(parser: argparse.ArgumentParser, data: Path, port: int) -> None:
    parser.add_argument("--port", type=int, default=port, help=f"REST and WebSocket port (default {port}, 0: any)")
    parser.add_argument("--moto-port", type=int, default=0, help="port of moto's server (default: any free one)")
    parser.add_argument("--data", type=Path, default=data, help=f"folder for everything it writes (default {data})")


if __name__ == "__main__":
    sys.exit(main())
