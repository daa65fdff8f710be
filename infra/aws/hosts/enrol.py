"""`python -m infra.aws.hosts.enrol`: this host's settings come in, its key is made and told to the control plane.

The queue itself says who sent the message (`services/enrolment.py`), so a host can enrol itself alone. The control
plane's public key is fetched in return.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3

from chalicelib.contract.enrolment import Enrolment
from chalicelib.contract.signatures import public_key_of
from infra.aws.hosts.control_key import FILE, fetch
from infra.hostagent.keys import host_key


def enrol(sqs: Any, ssm: Any, env: Mapping[str, str], data: Path, control_key: Path) -> None:
    """Make the host's key if it has none, have it known, and keep the key that calls are signed with."""
    body = Enrolment(public_key=public_key_of(host_key(data))).model_dump_json()
    host = env["BERTH_HOST_ID"]
    sqs.send_message(
        QueueUrl=env["BERTH_ENROLMENTS_QUEUE"],
        MessageBody=body,
        MessageGroupId=host,
        MessageDeduplicationId=f"{host}:{os.urandom(8).hex()}",
    )
    fetch(ssm, env["BERTH_CONTROL_KEY_PARAMETER"], control_key)


if __name__ == "__main__":
    session: Any = boto3.Session(region_name=os.environ["BERTH_REGION"])
    enrol(
        session.client("sqs"),
        session.client("ssm"),
        os.environ,
        Path("/var/lib/berth"),
        FILE,
    )
