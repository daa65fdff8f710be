"""An instance of moto's as an emulated machine: its id and user data come in, a machine that has run them goes out."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.ground.packages import Say
from tests.aws import Aws
from tests.fakes.stub import Stub
from tests.fleet.autoscaling import Call, autoscaling_service, calls_of
from tests.fleet.debian import Debian
from tests.fleet.machine import ADDRESS, Machine, outside
from tests.fleet.metadata import put
from tests.fleet.stage import Instance

ROLE = "berth-dev-role"
TARGET = "autoscaling/target-lifecycle-state"
USER_DATA_SECONDS = 900

Change = tuple[str, str]
"""A line of the user data, and what it is here: each is one thing that no test machine has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a machine is besides its instance."""

    port: int
    """That can be reached from here."""
    changes: list[Change]
    more: Path | None = None
    """A third disk."""


_CREDENTIALS = {
    "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "testing", "SecretAccessKey": "testing", "Token": "testing",
    "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Booted:
    """A machine that has done what its launch template says."""

    machine: Machine
    instance: str
    folder: Path
    """A short path, in which sockets may be."""
    autoscaling: Stub
    metadata: Path

    @property
    def calls(self) -> list[Call]:
        """What Auto Scaling was told so far."""
        return calls_of(self.autoscaling)

    def want_gone(self) -> None:
        """Have the group want it gone."""
        put(self.metadata, TARGET, "Terminated")


@contextmanager
def booted(debian: Debian, aws: Aws, instance: Instance, plan: Plan, say: Say) -> Iterator[Booted]:
    """The machine, after its user data; it is gone with the context."""
    with contextlib.ExitStack() as stack:
        autoscaling = stack.enter_context(autoscaling_service())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="berth-")))
        metadata = folder / "metadata"
        metadata.mkdir()
        _tell_of(instance.id, metadata)
        machine = Machine(debian, folder, metadata, plan.port, say, plan.more)
        stack.callback(machine.stop)
        say("an emulated machine starts and runs its user data (about three minutes)")
        machine.await_boot()
        _show_aws(machine, aws, autoscaling)
        _run_user_data(machine, instance.user_data, plan.changes)
        yield Booted(machine, instance.id, folder, autoscaling, metadata)


def _tell_of(instance: str, metadata: Path) -> None:
    """What the metadata service has to say of it."""
    values = {
        "instance-id": instance,
        "local-ipv4": ADDRESS,
        TARGET: "InService",
        "iam/security-credentials": ROLE,
        f"iam/security-credentials/{ROLE}": json.dumps(_CREDENTIALS),
    }
    for path, value in values.items():
        put(metadata, path, value)


def _show_aws(machine: Machine, aws: Aws, autoscaling: Stub) -> None:
    """Have every program of the machine find moto where AWS would be."""
    ways = {
        "AWS_ENDPOINT_URL": outside(aws.endpoint),
        "AWS_ENDPOINT_URL_AUTO_SCALING": outside(autoscaling.url),
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    }
    line = " ".join(f'"{name}={value}"' for name, value in ways.items())
    machine.ask("mkdir -p /etc/systemd/system.conf.d")
    machine.put("/etc/systemd/system.conf.d/aws.conf", f"[Manager]\nDefaultEnvironment={line}\n")
    machine.put("/root/aws.env", "".join(f"export {name}={value}\n" for name, value in ways.items()))
    machine.ask("systemctl daemon-reexec")


def _run_user_data(machine: Machine, user_data: str, changes: list[Change]) -> None:
    for line, instead in changes:
        assert user_data.count(line) == 1, line
        user_data = user_data.replace(line, instead)
    machine.put("/root/user-data", user_data)
    done = machine.run(". /root/aws.env && bash /root/user-data", seconds=USER_DATA_SECONDS)
    if done.exit_code:
        logged = machine.run("journalctl --no-pager -n 60 -u 'berth-*'").output
        raise AssertionError(f"{done.output[-2000:]}\n{logged}")
