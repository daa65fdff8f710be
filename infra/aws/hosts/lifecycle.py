"""The instance's place in its Auto Scaling group: metadata comes in, what the group waits for is told.

`python -m infra.aws.hosts.lifecycle CONTINUE|ABANDON` ends the wait of a new instance.
"""

import os
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

METADATA = "http://169.254.169.254/latest"
SECONDS = 5


def metadata(path: str) -> str:
    """A value of the instance's metadata, by a session token (IMDSv2)."""
    ask = urllib.request.Request(  # noqa: S310 - a fixed address
        f"{METADATA}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    )
    with urllib.request.urlopen(ask, timeout=SECONDS) as answer:  # noqa: S310
        token = answer.read().decode()
    ask = urllib.request.Request(  # noqa: S310
        f"{METADATA}/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token}
    )
    with urllib.request.urlopen(ask, timeout=SECONDS) as answer:  # noqa: S310
        return str(answer.read().decode())


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One instance's hooks."""

    autoscaling: Any
    group: str
    instance: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Lifecycle":
        """Of the host whose settings these are."""
        session: Any = boto3
        client = session.client("autoscaling", region_name=env["BERTH_REGION"])
        return cls(client, env["BERTH_GROUP"], env["BERTH_HOST_ID"])

    def more_time(self, hook: str) -> None:
        """Ask the group to wait on."""
        self.autoscaling.record_lifecycle_action_heartbeat(**self._of(hook))

    def complete(self, hook: str, result: str) -> None:
        """Tell the group to go on."""
        self.autoscaling.complete_lifecycle_action(**self._of(hook), LifecycleActionResult=result)

    def _of(self, hook: str) -> dict[str, str]:
        return {"AutoScalingGroupName": self.group, "LifecycleHookName": hook, "InstanceId": self.instance}


LAUNCHING = "launching"
TERMINATING = "terminating"


if __name__ == "__main__":
    Lifecycle.from_env(os.environ).complete(LAUNCHING, sys.argv[1])
