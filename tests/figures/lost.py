"""Creates whose answers are lost: shipped code on moto's server goes in, containers per key come out as a measure."""

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from chalicelib.adapters.dynamodb.containers import DynamoContainers
from chalicelib.adapters.sqs import SqsCommands
from chalicelib.adapters.system import SystemClock, SystemIds
from chalicelib.domain.errors import Busy
from chalicelib.domain.identity import Caller
from chalicelib.domain.images import ImageChoice
from chalicelib.domain.request import ContainerRequest
from chalicelib.ports import IdempotencyKey
from chalicelib.services.lifecycle import Lifecycle
from tests.aws import Aws, moto_server
from tests.builders import PLENTY, a_caller
from tests.figures.measures import MOTO, Measure, Size

PER_STACK = 100
PER_USER = 20
THREADS = 4
TRIES = 5
WRITES_OF_A_CALL = 5
"""As often as the store's adapter tries: when all of these answers are lost, the client is told 503."""

IMAGE = ImageChoice("debian:bookworm", "debian:bookworm", custom=False)


class Losing:
    """A client whose call `name` is done, and whose answer is lost for the first `times` calls of each thread."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        self._left = threading.local()
        self.lost = 0

    def lose(self, times: int) -> None:
        self._left.times = times

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        return real if name != self._name else lambda **arguments: self._call(real, arguments)

    def _call(self, real: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        left = getattr(self._left, "times", 0)
        if left == 0:
            return real(**arguments)
        self._left.times = left - 1
        self.lost += 1
        with contextlib.suppress(ClientError):
            real(**arguments)
        raise ReadTimeoutError(endpoint_url="lost")


@dataclass
class Ground:
    """Tables and queues of their own, reached by clients that lose answers."""

    aws: Aws
    database: Losing
    queue: Losing
    true: DynamoContainers
    lifecycle: Lifecycle


def ground_of(server: Aws) -> Ground:
    """New tables and queues."""
    aws = server.with_stack()
    client = aws.client("dynamodb")
    tables = (aws.table("containers"), aws.table("events"), aws.table("hosts"))
    database, queue = Losing(client, "transact_write_items"), Losing(aws.client("sqs"), "send_message")
    commands = SqsCommands(queue, aws.queue_url("commands"))
    store = DynamoContainers(database, *tables)
    lifecycle = Lifecycle(store, commands, SystemClock(), SystemIds(), PLENTY)
    return Ground(aws, database, queue, DynamoContainers(client, *tables), lifecycle)


def measured(size: Size, data: Path) -> list[Measure]:
    """Creates with keys; each loses an answer, and its client asks again."""
    doubled = missing = retried = lost = 0
    with moto_server(data / "moto.log") as server:
        for first in range(0, size.lost_answers, PER_STACK):
            ground = ground_of(server)
            marks = [str(number) for number in range(first, min(first + PER_STACK, size.lost_answers))]
            callers = [
                a_caller(user_id=f"user-{uuid.uuid4()}", tier="enterprise") for _ in range(0, len(marks), PER_USER)
            ]
            with ThreadPoolExecutor(THREADS) as pool:
                jobs = [(callers[number // PER_USER], mark) for number, mark in enumerate(marks)]
                retried += sum(pool.map(lambda job, ground=ground: _insist(ground, *job), jobs))
            made = Counter(each.labels["request"] for caller in callers for each in ground.true.of_user(caller.user_id))
            doubled += sum(count - 1 for count in made.values())
            missing += len(set(marks) - set(made))
            lost += ground.database.lost + ground.queue.lost
    how = (
        "the transaction's answer lost once, or at all five tries; the queue's answer lost; the client's own lost;"
        " a quarter each, and the client asks again with its key"
    )
    return [
        Measure("duplicates after a lost answer and a retry", size.lost_answers, "creates", doubled, how, MOTO,
                least_n=1 if size.quick else 1000, note=f"{lost:,} answers lost inside, {retried:,} asked again"),
        Measure("creates that came to nothing after it", size.lost_answers, "creates", missing, how, MOTO),
    ]  # fmt: skip


def _insist(ground: Ground, caller: Caller, mark: str) -> int:
    """Ask until answered, and once more when it is the client's answer that is lost; how often it asked again."""
    way = int(mark) % 4
    ground.database.lose((1, WRITES_OF_A_CALL, 0, 0)[way])
    ground.queue.lose((0, 0, 1, 0)[way])
    request = ContainerRequest(image=IMAGE, labels={"request": mark})
    key = IdempotencyKey(f"key {mark}", f"hash {mark}")
    answers = []
    for attempt in range(TRIES):
        try:
            answers.append(str(ground.lifecycle.create(caller, request, key).body["id"]))
        except Busy:
            continue
        if attempt > 0:
            break
    assert len(set(answers)) == 1, f"one key was answered with {answers}"
    return attempt
