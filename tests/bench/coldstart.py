"""Cold starts and sizes: the packaged archives come in, rows of seconds and ratios to the floor go out.

The floor is what any Chalice function with one client pays: `import chalice, boto3` and the client. Each measure is a
process of its own with what Lambda has and nothing else; rounds are interleaved, so that a busy moment hits all alike.
"""

import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chalicelib.contract.signatures import new_private_key, public_key_of
from infra.aws.package import ARCHIVES, package
from tests.archives import unpack
from tests.aws import REGION, Aws

FLOOR = "import chalice.app, boto3; boto3.client('dynamodb', region_name='eu-west-1')"
SERVICES = {
    "api_handler": "api",
    "websocket_connect": "doorkeeper",
    "websocket_message": "subscriptions",
    "websocket_disconnect": "subscriptions",
    "provision": "provisioning",
    "status": "status_writer",
    "sweep": "sweep",
}
"""What each function makes before its first answer."""

GOALS = {"api_handler": 1.35, "websocket_connect": 1.35, "websocket_message": 1.35, "websocket_disconnect": 1.35}

_CHILD = """
import sys, time
sys.path[:0] = sys.argv[1:4]
began = time.perf_counter()
exec(sys.argv[4])
print(time.perf_counter() - began)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One function: seconds, the median ratio of its rounds to the floor's, and the goal where there is one."""

    function: str
    median: float
    p95: float
    ratio: float
    goal: float | None

    @property
    def missed(self) -> bool:
        return self.goal is not None and self.ratio > self.goal


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


def measure(folder: Path, aws: Aws, rounds: int, tick: Callable[[], None]) -> list[Row]:
    """Every function and the floor once per round; `tick` is told of each process that ended.

    `aws` answers what a function asks while it makes its services: where its queues are.
    """
    environment = _environment(aws)
    times: dict[str, list[float]] = {"floor": [], **{name: [] for name in SERVICES}}
    for _ in range(rounds):
        for name, seconds in times.items():
            made = FLOOR if name == "floor" else f"import app; app.wiring.{SERVICES[name]}()"
            seconds.append(_seconds(folder, environment, made))
            tick()
    return [_row(name, seconds, times["floor"]) for name, seconds in times.items()]


def _row(name: str, seconds: list[float], floor: list[float]) -> Row:
    ratios = [mine / theirs for mine, theirs in zip(seconds, floor, strict=True)]
    p95 = sorted(seconds)[min(len(seconds) - 1, round(0.95 * len(seconds)))]
    return Row(name, statistics.median(seconds), p95, statistics.median(ratios), GOALS.get(name))


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


def _environment(aws: Aws) -> dict[str, str]:
    key = new_private_key()
    return {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "BERTH_PREFIX": aws.prefix,
        "BERTH_SOCKETS_ENDPOINT": f"{aws.endpoint}/api",
        "BERTH_CONTROL_PRIVATE_KEY": key,
        "BERTH_CONTROL_PUBLIC_KEY": public_key_of(key),
    }
