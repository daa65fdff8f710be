"""The outbox: every event reaches the queue, in order, signed, whatever breaks on the way."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from pydantic import ValidationError

from chalicelib.contract.events import LARGEST_BATCH, Batch, Heartbeat, Progress, Ready
from chalicelib.contract.signatures import new_private_key, parse_envelope, public_key_of, unseal
from chalicelib.contract.statuses import Stage
from infra.hostagent.journal.intents import Intent, Step, accepted
from infra.hostagent.journal.journal import Journal, Telling
from infra.hostagent.journal.outbox import Outbox, QueueUnavailable, SqsSink
from infra.hostagent.journal.pace import PACE_SECONDS
from infra.hostagent.journal.tellings import moment, telling
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_report, a_spec

KEY = new_private_key()


@dataclass
class Queue:
    """What was sent; the faults ordered are used up one by one: before the message is taken, or after."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)
    before: list[Exception] = field(default_factory=list)
    after: list[Exception] = field(default_factory=list)

    def send(self, body: str, group: str, identity: str) -> None:
        if self.before:
            raise self.before.pop(0)
        self.sent.append((body, group, identity))
        if self.after:
            raise self.after.pop(0)

    @property
    def identities(self) -> list[str]:
        """Of the events in what was sent."""
        return [f"{event.container_id}:{event.generation}:{event.number}" for event in self.events]

    @property
    def events(self) -> list[Any]:
        """What was sent, one by one."""
        return [event for told in self.messages for event in (told.events if isinstance(told, Batch) else [told])]

    @property
    def messages(self) -> list[Any]:
        return [unseal(parse_envelope(body), public_key_of(KEY)) for body, _, _ in self.sent]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    yield journal
    journal.close()


def told(journal: Journal, count: int) -> Intent:
    """A container of which so many events are waiting."""
    intent = accepted(a_spec(), time.time())
    journal.accept(intent)
    journal.advance(intent, [progress(intent)] * count, expected=[Step.ACCEPTED])
    return intent


def progress(intent: Intent) -> Telling:
    return telling(Progress, intent, time.time(), stage=Stage.PULLING, progress=20, message="m")


def identities(intent: Intent, count: int) -> list[str]:
    return [f"{intent.container_id}:1:{number}" for number in range(1, count + 1)]


def eventually(found: Callable[[], Any], seconds: float = 5) -> None:
    ends = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


Start = Callable[[Journal, Any], Outbox]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Outbox] = []

    def started(journal: Journal, sink: Any) -> Outbox:
        outbox = Outbox(journal, sink, "host-1", KEY)
        outbox.start()
        outbox.wake()
        running.append(outbox)
        return outbox

    yield started
    for outbox in running:
        outbox.close(2)


def test_events_go_out_in_order_in_the_group_of_their_container_and_leave_the_journal(
    journal: Journal, start: Start
) -> None:
    queue = Queue()
    one, two = told(journal, 60), told(journal, 3)

    start(journal, queue)
    eventually(lambda: not journal.outgoing(1))

    told_of = {each.container_id: [i for i in queue.identities if each.container_id in i] for each in (one, two)}
    assert told_of == {one.container_id: identities(one, 60), two.container_id: identities(two, 3)}
    assert all(message.container_id == group for message, (_, group, _) in zip(queue.messages, queue.sent, strict=True))


def test_what_waits_of_one_container_is_one_message_up_to_a_size(journal: Journal, start: Start) -> None:
    queue = Queue()
    told(journal, LARGEST_BATCH + 3)
    told(journal, 1)

    start(journal, queue)
    eventually(lambda: not journal.outgoing(1))

    assert [len(getattr(each, "events", [each])) for each in queue.messages] == [LARGEST_BATCH, 1, 3]
    assert len({identity for _, _, identity in queue.sent}) == 3
    assert all(len(identity) <= 128 for _, _, identity in queue.sent)  # as the queue takes them


def test_stages_soon_after_each_other_travel_together_and_the_end_does_not_wait(journal: Journal, start: Start) -> None:
    queue = Queue()
    intent = told(journal, 1)
    outbox = start(journal, queue)
    eventually(lambda: not journal.outgoing(1))
    began = time.monotonic()

    for _ in range(3):
        journal.advance(intent, [progress(intent)], expected=[Step.ACCEPTED])
        outbox.wake()
        time.sleep(0.01)
    assert len(queue.sent) == 1 or time.monotonic() - began > PACE_SECONDS / 2
    eventually(lambda: not journal.outgoing(1))
    took = time.monotonic() - began
    ready = telling(Ready, intent, time.time(), engine_id="e", started_at=moment(time.time()))
    journal.advance(intent, [ready], expected=[Step.ACCEPTED])
    outbox.wake()
    eventually(lambda: not journal.outgoing(1))

    assert queue.identities == identities(intent, 5)
    assert took >= PACE_SECONDS / 2
    assert len(queue.sent) <= 4


def test_another_container_does_not_wait_for_the_pace_of_one(journal: Journal, start: Start) -> None:
    queue = Queue()
    outbox = start(journal, queue)
    intents = [told(journal, 1) for _ in range(5)]
    outbox.wake()
    eventually(lambda: len(queue.sent) == 5)

    assert sorted(queue.identities) == sorted(f"{each.container_id}:1:1" for each in intents)


def test_without_a_thread_a_call_sends_what_waits(journal: Journal) -> None:
    queue = Queue(before=[QueueUnavailable("Throttling")])
    intent = told(journal, 2)
    outbox = Outbox(journal, queue, "host-1", KEY)

    assert not outbox.send_waiting()
    assert outbox.send_waiting()

    assert queue.identities == identities(intent, 2)
    outbox.close(0)


def test_an_event_of_a_newer_agent_goes_as_it_is_between_those_before_and_after_it(
    journal: Journal, start: Start, tmp_path: Path
) -> None:
    queue, odd, other = Queue(), told(journal, 5), told(journal, 1)
    unknown = '{"kind":"mended","container_id":"x","generation":1,"number":3}'
    with sqlite3.connect(tmp_path / "journal") as database:
        database.execute("UPDATE outbox SET event = ? WHERE id = ?", (unknown, journal.outgoing(3)[2].row))

    start(journal, queue)

    eventually(lambda: journal.outgoing(1) == [])
    bodies = {group: [parse_envelope(body) for body, of, _ in queue.sent if of == group] for _, group, _ in queue.sent}
    before, alone, after = bodies[odd.spec.container_id]
    assert [len(unseal(each, public_key_of(KEY)).events) for each in (before, after)] == [2, 2]  # type: ignore[union-attr]
    assert alone.event == unknown
    with pytest.raises(ValidationError):  # of the reader: its signature is right
        unseal(alone, public_key_of(KEY))
    assert len(bodies[other.spec.container_id]) == 1


def test_a_queue_that_refuses_is_tried_again_and_nothing_overtakes(journal: Journal, start: Start) -> None:
    queue = Queue(before=[QueueUnavailable("Throttling"), QueueUnavailable("Throttling")])
    intent = told(journal, 3)

    start(journal, queue)
    eventually(lambda: not journal.outgoing(1))

    assert queue.identities == identities(intent, 3)


def test_an_answer_that_was_lost_sends_the_same_identity_again(journal: Journal, start: Start) -> None:
    queue = Queue(after=[QueueUnavailable("ReadTimeout")])
    intent = told(journal, 2)

    start(journal, queue)
    eventually(lambda: not journal.outgoing(1))

    assert queue.identities == identities(intent, 2) * 2
    assert len({identity for _, _, identity in queue.sent}) == 1


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), RuntimeError("nobody has seen this")])
def test_whatever_breaks_the_outbox_goes_on(journal: Journal, start: Start, error: Exception) -> None:
    queue = Queue(before=[error])
    intent = told(journal, 2)

    start(journal, queue)
    eventually(lambda: not journal.outgoing(1))

    assert queue.identities == identities(intent, 2)


class Deaf(Queue):
    """Takes the message and never answers: for its caller, the process might as well have been killed."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def send(self, body: str, group: str, identity: str) -> None:
        super().send(body, group, identity)
        self.let_go.wait(30)


def test_a_process_that_dies_before_it_forgets_sends_again_under_the_same_identity(
    journal: Journal, start: Start, tmp_path: Path
) -> None:
    deaf, queue = Deaf(), Queue()
    intent = told(journal, 2)
    dying = start(journal, deaf)
    eventually(lambda: deaf.sent)
    dying.close(0)

    reopened = Journal(tmp_path / "journal", ThreadRuntime())
    start(reopened, queue)
    eventually(lambda: not reopened.outgoing(1))
    deaf.let_go.set()

    assert deaf.sent == queue.sent
    assert queue.identities == identities(intent, 2)


def test_what_is_told_while_it_runs_is_sent_within_a_moment(journal: Journal, start: Start) -> None:
    queue = Queue()
    outbox = start(journal, queue)
    time.sleep(0.05)

    intent = told(journal, 1)
    began = time.monotonic()
    outbox.wake()
    eventually(lambda: queue.sent)

    assert queue.identities == identities(intent, 1)
    assert time.monotonic() - began < 0.5


def test_a_heartbeat_does_not_wait_behind_events(journal: Journal) -> None:
    queue = Queue()
    told(journal, 5)
    outbox = Outbox(journal, queue, "host-1", KEY)

    outbox.send_now(Heartbeat(host_id="host-1", report=a_report()), "host-host-1", "heartbeat:1")

    assert [identity for _, _, identity in queue.sent] == ["heartbeat:1"]
    assert len(journal.outgoing(10)) == 5


def test_a_queue_that_cannot_be_reached_is_unavailable_and_nothing_else() -> None:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    session: Any = boto3
    client = session.client("sqs", endpoint_url="http://127.0.0.1:9", config=once)
    sink = SqsSink(client, "http://127.0.0.1:9/1/events.fifo")

    with pytest.raises(QueueUnavailable):
        sink.send("{}", "group", "identity")


def test_a_number_used_again_by_a_new_journal_is_another_message(tmp_path: Path) -> None:
    """The control plane may not have kept the last number: what it ignores, it does not count."""
    intent = accepted(a_spec(number=6), time.time())
    identities = []
    for name, message in (("lost", "before"), ("new", "after")):
        journal = Journal(tmp_path / name, ThreadRuntime())
        journal.accept(intent)
        one = telling(Progress, intent, 0.0, stage=Stage.PULLING, progress=20, message=message)
        journal.advance(intent, [one], expected=[Step.ACCEPTED])
        identities += [each.identity for each in journal.outgoing(1)]
        journal.close()

    assert len({identity.rpartition(":")[2] for identity in identities}) == 1
    assert len(set(identities)) == 2
