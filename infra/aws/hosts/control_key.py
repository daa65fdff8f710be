"""`python -m infra.aws.hosts.control_key`: the control plane's public key comes from its parameter, and to the agent.

The agent's unit runs it before every start, and a timer now and then. The agent reads the file again when it is
another, so a key that is replaced, or announced beside the one in use, reaches every host by itself.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

FILE = Path("/etc/berth/control-key.pub")

CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
"""An agent that starts waits for this: for ten seconds at most, then it takes the key that it had."""


def fetch(ssm: Any, parameter: str, file: Path) -> bool:
    """Put the key where the agent reads it, a file that is whole at any moment; whether it is another."""
    key = str(ssm.get_parameter(Name=parameter)["Parameter"]["Value"])
    if file.exists() and file.read_text() == key:
        return False
    new = file.with_suffix(".new")
    new.write_text(key)
    new.replace(file)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.aws.hosts.control_key", description="The public key.")
    parser.parse_args()
    ssm = boto3.Session(region_name=os.environ["BERTH_REGION"]).client("ssm", config=CONFIG)
    parameter = os.environ["BERTH_CONTROL_KEY_PARAMETER"]
    if fetch(ssm, parameter, FILE):
        sys.stdout.write("the control plane has another key\n")


if __name__ == "__main__":
    main()
