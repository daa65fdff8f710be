"""`python -m infra.aws.hosts.control_key`: the control plane's public key comes from its parameter, and to the agent.

The agent's unit runs it before every start. A timer runs it with `--look`: when the parameter has another key than the
agent was started with, the agent is started again. So a key that is replaced reaches every host by itself.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

FILE = Path("/etc/berth/control-key.pub")

CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
"""An agent that starts waits for this: for ten seconds at most, then it takes the key that it had."""


def fetch(ssm: Any, parameter: str, file: Path) -> None:
    """Put the key where the agent reads it: a file that is whole at any moment."""
    new = file.with_suffix(".new")
    new.write_text(_key(ssm, parameter))
    new.replace(file)


def look(ssm: Any, parameter: str, file: Path, restart: Callable[[], None]) -> None:
    """Have the agent started again, which fetches the key, when there is another; the next look does if this fails."""
    if _key(ssm, parameter) != file.read_text():
        restart()


def _key(ssm: Any, parameter: str) -> str:
    return str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])


def _restart_agent() -> None:
    sys.stdout.write("the control plane has another key: the agent is started again\n")
    subprocess.run(["systemctl", "try-restart", "berth-agent.service"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.aws.hosts.control_key", description="The public key.")
    parser.add_argument("--look", action="store_true", help="restart the agent if the key is another one")
    ssm = boto3.Session(region_name=os.environ["BERTH_REGION"]).client("ssm", config=CONFIG)
    parameter = os.environ["BERTH_CONTROL_KEY_PARAMETER"]
    if parser.parse_args().look:
        look(ssm, parameter, FILE, _restart_agent)
    else:
        fetch(ssm, parameter, FILE)


if __name__ == "__main__":
    main()
