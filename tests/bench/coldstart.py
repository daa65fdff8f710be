"""Cold starts and sizes: the packaged archives come in, seconds of every function beside the floor's go out.

The floor is what any Chalice function with one client pays: `import chalice, boto3` and the client. Each measure is a
process of its own with what Lambda has and nothing else: also the environment that every stage gives its functions, and
the handler's name. Rounds are interleaved, so that a busy moment hits all alike.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chalicelib.contract.signatures import new_private_key, public_key_of
from infra.aws.package import ARCHIVES, package
from tests.archives import unpack
from tests.aws import REGION, ROOT
from tests.bench.measures import Goal, Measure

NOBODY = "http://127.0.0.1:9"
FLOOR = "import chalice.app, boto3; boto3.client('dynamodb', region_name='eu-west-1')"
SERVICES = {
    "api_handler": ("app.app", "api"),
    "websocket_connect": ("app.connect", "doorkeeper"),
    "websocket_message": ("app.message", "subscriptions"),
    "websocket_disconnect": ("app.disconnect", "subscriptions"),
    "provision": ("app.provision", "provisioning"),
    "status": ("app.status", "status_writer"),
    "sweep": ("app.sweep", "sweep"),
}
"""What each function's handler is called, and what it makes before its first answer."""

GOALS = {"api_handler": 1.35, "websocket_connect": 1.35, "websocket_message": 1.35, "websocket_disconnect": 1.35}

_CHILD = """
import sys, time
sys.path[:0] = sys.argv[1:4]
began = time.perf_counter()
exec(sys.argv[4])
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """MiB of the two archives, and of all they hold."""

    task: float
    layer: float
    unpacked: float


def packaged(folder: Path) -> Sizes:
    """Package the application there and unpack it as Lambda does."""
    package("dev", folder / "package")
    unpack(folder / "package", folder)
    zipped = [(folder / "package" / name).stat().st_size / 2**20 for name in ARCHIVES]
    files = [each for to in ("task", "opt") for each in (folder / to).rglob("*") if each.is_file()]
    return Sizes(*zipped, sum(each.stat().st_size for each in files) / 2**20)


def measure(folder: Path, rounds: int, tick: Callable[[], None]) -> list[Measure]:
    """Every function and the floor once per round; `tick` is told of each process that ended."""
    environment = _environment()
    times: dict[str, list[float]] = {"floor": [], **{name: [] for name in SERVICES}}
    for _ in range(rounds):
        for name, seconds in times.items():
            handler, program = _began(name)
            seconds.append(_seconds(folder, environment | handler, program))
            tick()
    floor = times.pop("floor")
    measures = [Measure("the floor", "s", floor)]
    for name, seconds in times.items():
        goal = Goal("ratio", GOALS[name]) if name in GOALS else None
        measures.append(Measure(name, "s", seconds, floor, goal, "the floor"))
    return measures


def _began(name: str) -> tuple[dict[str, str], str]:
    """What a process is told and what it does."""
    if name == "floor":
        return {}, FLOOR
    handler, service = SERVICES[name]
    return {"_HANDLER": handler}, f"import app; app.wiring.{service}()"


def _seconds(folder: Path, environment: dict[str, str], program: str) -> float:
    packages = folder / f"opt/python/lib/python3.{sys.version_info.minor}/site-packages"
    paths = [str(folder / "task"), str(packages), str(folder / "runtime")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _CHILD, *paths, program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    """Nobody answers at the endpoint: nothing is asked so early."""
    key = new_private_key()
    every_stage = json.loads((ROOT / ".chalice/config.json").read_text())["environment_variables"]
    return every_stage | {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": NOBODY,
        "BERTH_PREFIX": "berth-bench",
        "BERTH_SOCKETS_ENDPOINT": f"{NOBODY}/api",
        "BERTH_CONTROL_PRIVATE_KEY": key,
        "BERTH_CONTROL_PUBLIC_KEY": public_key_of(key),
    }
