"""A Berth that `up` keeps running: its data folder comes in, the environment that reaches it goes out."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.errors import NotReady

_FILE = "environment"


def write_environment(data: Path, environment: dict[str, str]) -> None:
    """Lines that a shell can `source`, and that `environment_of` reads."""
    lines = "".join(f"export {name}={json.dumps(value)}\n" for name, value in environment.items())
    path = data / _FILE
    path.touch(mode=0o600)
    path.write_text(lines)


def forget_environment(data: Path) -> None:
    """It is no longer up."""
    (data / _FILE).unlink(missing_ok=True)


def environment_of(data: Path) -> dict[str, str]:
    """What reaches the Berth of this folder, or NotReady when none answers."""
    path = data / _FILE
    if not path.exists():
        raise NotReady("no Berth is up: start one with `make up`")
    lines = [line.removeprefix("export ").partition("=") for line in path.read_text().splitlines()]
    environment = {name: str(json.loads(value)) for name, _, value in lines}
    address = urlsplit(environment["AWS_ENDPOINT_URL"])
    with socket.socket() as probe:
        if probe.connect_ex((address.hostname, address.port)) != 0:
            raise NotReady("the Berth that was up no longer answers: start one with `make up`")
    return environment
