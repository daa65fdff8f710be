"""LocalStack comes up from its lock on loopback alone, its services answer, and nothing of it remains."""

import os
from pathlib import Path

from infra.localstack.server import ACCOUNT, Localstack, running_localstack
from tests.engines import say
from tests.localstack.conftest import ENVIRONMENT

NEEDED = {"apigateway", "apigatewayv2", "cloudformation", "dynamodb", "events", "iam", "lambda", "logs", "sqs", "ssm"}
LISTEN, LOOPBACK = "0A", "0100007F"


def _listening(pid: int) -> set[tuple[str, int]]:
    """Addresses, as the kernel writes them, and ports that a process listens on."""
    sockets = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTEN and f"socket:[{columns[9]}]" in sockets:
                address, port = columns[1].split(":")
                found.add((address, int(port, 16)))
    return found


def _children(pid: int) -> list[int]:
    return [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]


def test_it_listens_on_loopback_alone(localstack: Localstack) -> None:
    assert (LOOPBACK, localstack.port) in _listening(localstack.pid)
    assert {address for address, _ in _listening(localstack.pid)} == {LOOPBACK}


def test_every_service_that_berth_needs_can_be_asked(localstack: Localstack) -> None:
    health = localstack.health()

    assert {name for name in NEEDED if health.get(name) in ("available", "running")} == NEEDED
    assert localstack.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_nothing_of_it_remains(tmp_path: Path) -> None:
    with running_localstack(tmp_path / "one", ENVIRONMENT, say) as running:
        running.client("sqs").create_queue(QueueName="left")
        processes = [running.pid, *_children(running.pid)]

    assert not [each for each in processes if Path(f"/proc/{each}").exists()]
    assert not (tmp_path / "one").exists()
