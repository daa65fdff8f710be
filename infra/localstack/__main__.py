"""`python -m infra.localstack up`: Berth on LocalStack from the command line, until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from infra.ground.engine import Engine
from infra.ground.errors import GroundError
from infra.local.cloud import free_port
from infra.local.engines import engines_at
from infra.local.errors import CloudError
from infra.local.running import forget_environment, write_environment
from infra.localstack.application import Application, deploy
from infra.localstack.gateway import open_gateway, terminal_url
from infra.localstack.host import open_host, operator
from infra.localstack.running import VARIABLE, Way, running_localstack, wished

CACHE = Path(".berth/cache")
ENVIRONMENT = Path(".berth/localstack/venv")


def main() -> int:
    """0 after a clean stop; 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m infra.localstack", description="Berth on LocalStack.")
    parser.add_argument("verb", choices=["up"])
    parser.add_argument("--port", type=int, default=8080, help="REST and WebSocket port (default 8080, 0: any)")
    parser.add_argument("--data", type=Path, default=Path(".berth/up-localstack"), help="folder for what it writes")
    parser.add_argument("--localstack", choices=list(Way), help=f"where it runs (default: {VARIABLE}, or auto)")
    parsed = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # containers do not end with their parent
    try:
        up(parsed.data, parsed.port, Way(parsed.localstack) if parsed.localstack else wished())
    except (CloudError, GroundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up(data: Path, port: int, way: Way) -> None:
    """Berth on one engine and one LocalStack."""
    found = free_port(port, "--port")
    with (
        engines_at(data, 1, CACHE, say) as [engine],
        running_localstack(engine, data / "localstack", ENVIRONMENT, say, way) as localstack,
    ):
        application = deploy(localstack, data / "project", say, terminal_url(found))
        write_environment(data, application.environment)
        try:
            asyncio.run(_serve(application, engine, data, found))
        finally:
            forget_environment(data)
    say("stopped; nothing was left running")


async def _serve(application: Application, engine: Engine, data: Path, port: int) -> None:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    async with open_gateway(application, port) as url, open_host(application, engine, data / "host") as host:
        host.keep(say)
        user = await asyncio.to_thread(operator, application, "create-user", "--tier", "free")
        say(f"REST       {url}\nWebSocket  {url.replace('http', 'ws', 1)}\ntoken      {user['token']}")
        await over.wait()
        say("stopping")


def say(line: str) -> None:
    """One line for a person."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
