"""DynamoDB that answers badly: writes whose answers are lost are done once, passing faults are tried again."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from chalicelib.adapters.dynamodb import transactions
from chalicelib.adapters.dynamodb.containers import DynamoContainers
from chalicelib.adapters.dynamodb.hosts import DynamoHosts
from chalicelib.contract.agent_api import Verb
from chalicelib.contract.events import Ready, Removed
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container, PendingPower
from chalicelib.domain.errors import Busy, LimitReached, StaleWrite
from chalicelib.domain.host import Host
from chalicelib.domain.transitions import Change, apply
from chalicelib.ports import IdempotencyKey
from tests.aws import Aws
from tests.builders import NOW, PLENTY, a_cause, a_container, a_report, about

STOP = PendingPower(verb=Verb.STOP, action="a")
SINGLE = "update_item"
TOGETHER = "transact_write_items"


def error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Write")


def cancelled(code: str) -> ClientError:
    response: Any = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": [{"Code": "None"}, {"Code": code}],
    }
    return ClientError(response, "TransactWriteItems")


class Wrapped:
    """A client whose writes go through `around`, which is given the real call and what it was called with."""

    def __init__(self, client: Any, around: Callable[[Callable[[], Any], str], Any]) -> None:
        self._client = client
        self._around = around

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name not in (SINGLE, TOGETHER):
            return real
        return lambda **arguments: self._around(lambda: real(**arguments), f"{name} {arguments!r}")


def losing(fault: Exception) -> Callable[[Callable[[], Any], str], Any]:
    """Every write is done, and the answer of its first try is lost."""
    seen: set[str] = set()

    def around(real: Callable[[], Any], what: str) -> Any:
        answer = real()
        if what not in seen:
            seen.add(what)
            raise fault
        return answer

    return around


def failing(fault: Exception, times: int) -> Callable[[Callable[[], Any], str], Any]:
    """The first tries are refused and not done."""
    left = [fault] * times

    def around(real: Callable[[], Any], _what: str) -> Any:
        if left:
            raise left.pop()
        return real()

    return around


class Ground:
    """Tables, a host, and a store that sees them truly."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.client = aws.client("dynamodb")
        self.true = self.store(self.client)
        self.hosts = DynamoHosts(self.client, aws.table("hosts"))
        self.host_id = f"host-{uuid.uuid4().hex[:8]}"
        self.user = f"user-{uuid.uuid4().hex}"
        self.hosts.enrol(self.host_id, "key")
        self.hosts.heartbeat(self.host_id, a_report(memory_mb=10**6, cpu_shares=10**6, disk_mb=10**8), NOW)

    def store(self, client: Any) -> DynamoContainers:
        table = self.aws.table
        return DynamoContainers(client, table("containers"), table("events"), table("hosts"))

    def host(self) -> Host:
        return self.hosts.get(self.host_id)

    def created(self, **changes: Any) -> Container:
        container = a_container(user_id=self.user, **changes)
        self.true.create(container, 100, PLENTY, None, {})
        return container

    def on_host(self) -> Container:
        return self.true.place(self.created(), self.host(), NOW)

    def running(self) -> Container:
        change = became_ready(self.on_host())
        self.true.apply(change.before, change.after, change.frames, release=False)
        return change.after

    def rows(self) -> list[Any]:
        """Everything of this user and host that a write could have changed, the rate's counter apart."""
        query = {"KeyConditionExpression": "user_id = :u", "ExpressionAttributeValues": {":u": {"S": self.user}}}
        found = self.client.query(TableName=self.aws.table("containers"), ConsistentRead=True, **query)["Items"]
        frames = [self.true.frames_after(each.id, 0) for each in self.true.of_user(self.user)]
        return [self.host(), frames, *(row for row in found if "asked" not in row)]


def became_ready(container: Container) -> Change:
    change = apply(container, Ready(**about(container, 1), engine_id="e" * 64, started_at=NOW), NOW)
    assert isinstance(change, Change)
    return change


def was_removed(container: Container) -> Change:
    change = apply(container, Removed(**about(container, 9), cause=a_cause()), NOW)
    assert isinstance(change, Change)
    return change


@pytest.fixture
def ground(stack: Aws) -> Ground:
    return Ground(stack)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(transactions.time, "sleep", pauses.append)
    return pauses


LOST = [
    ReadTimeoutError(endpoint_url="lost"),
    ConnectionClosedError(endpoint_url="lost"),
    error("InternalServerError", 500),
]


@pytest.fixture(params=LOST, ids=lambda fault: type(fault).__name__)
def lossy(request: pytest.FixtureRequest, ground: Ground) -> DynamoContainers:
    return ground.store(Wrapped(ground.client, losing(request.param)))


def test_a_creation_whose_answer_is_lost_is_one_creation(ground: Ground, lossy: DynamoContainers) -> None:
    container = a_container(user_id=ground.user, name="web")

    assert lossy.create(container, 1, PLENTY, IdempotencyKey("k", "h"), {}) is None

    assert ground.true.of_user(ground.user) == [container]
    with pytest.raises(LimitReached):
        ground.true.create(a_container(user_id=ground.user), 1, PLENTY, None, {})


def test_a_placing_whose_answer_is_lost_holds_room_once(ground: Ground, lossy: DynamoContainers) -> None:
    placed = lossy.place(ground.created(), ground.host(), NOW)

    assert ground.true.get(ground.user, placed.id) == placed
    assert ground.host().reserved.containers == 1


def test_a_claim_given_back_whose_answer_is_lost_frees_room_once(ground: Ground, lossy: DynamoContainers) -> None:
    ground.on_host()
    free = lossy.unplace(ground.on_host())

    assert ground.true.get(ground.user, free.id) == free
    assert ground.host().reserved.containers == 1


def test_a_change_whose_answer_is_lost_is_written_once(ground: Ground, lossy: DynamoContainers) -> None:
    change = became_ready(ground.on_host())

    lossy.apply(change.before, change.after, change.frames, release=False)

    assert ground.true.get(ground.user, change.after.id) == change.after
    assert ground.true.frames_after(change.after.id, 0) == list(change.frames)


def test_an_end_whose_answer_is_lost_gives_everything_back_once(ground: Ground, lossy: DynamoContainers) -> None:
    ground.running()
    change = was_removed(ground.running())

    lossy.apply(change.before, change.after, change.frames, release=change.release)

    assert ground.host().reserved.containers == 1
    assert len(ground.true.of_user(ground.user)) == 1
    ground.true.create(a_container(user_id=ground.user), 2, PLENTY, None, {})
    with pytest.raises(LimitReached):
        ground.true.create(a_container(user_id=ground.user), 2, PLENTY, None, {})


def test_a_deletion_whose_answer_is_lost_gives_back_once(ground: Ground, lossy: DynamoContainers) -> None:
    ground.running()
    deleting = lossy.begin_delete(ground.running(), NOW, a_cause())

    assert ground.true.get(ground.user, deleting.id) == deleting
    ground.true.create(a_container(user_id=ground.user), 2, PLENTY, None, {})
    with pytest.raises(LimitReached):
        ground.true.create(a_container(user_id=ground.user), 2, PLENTY, None, {})


def test_a_wish_and_a_postponement_whose_answers_are_lost_are_kept(ground: Ground, lossy: DynamoContainers) -> None:
    wanted = lossy.want(ground.running(), Status.STOPPED, STOP, NOW)
    assert ground.true.get(ground.user, wanted.id) == wanted

    postponed = lossy.postpone(wanted, NOW + timedelta(seconds=9), 4)
    assert ground.true.get(ground.user, wanted.id) == postponed


def test_other_settings_whose_answer_is_lost_are_written_once(ground: Ground, lossy: DynamoContainers) -> None:
    running = ground.running()
    resources = running.resources.model_copy(update={"memory_mb": 700})
    wanted = running.model_copy(update={"name": "other", "resources": resources})

    after = lossy.reconfigure(running, wanted, ground.host())

    assert ground.true.get(ground.user, running.id) == after
    assert ground.host().reserved.memory_mb == 700


def test_a_record_that_has_faded_is_passed_over_though_the_index_still_has_it(ground: Ground) -> None:
    left, faded = ground.on_host(), ground.on_host()
    keys = ("user_id", "sk", "host_id", "id")
    answer = ground.client.query(
        TableName=ground.aws.table("containers"),
        IndexName="host",
        KeyConditionExpression="host_id = :h",
        ExpressionAttributeValues={":h": {"S": ground.host_id}},
    )
    assert len(answer["Items"]) == 2

    class Lagging(Wrapped):
        def query(self, **arguments: Any) -> Any:
            return answer if arguments.get("IndexName") == "host" else self._client.query(**arguments)

    row = next(item for item in answer["Items"] if item["sk"]["S"].endswith(faded.id))
    assert set(row) == set(keys)
    ground.client.delete_item(
        TableName=ground.aws.table("containers"), Key={name: row[name] for name in ("user_id", "sk")}
    )
    store = ground.store(Lagging(ground.client, lambda real, _what: real()))

    assert store.on_host(ground.host_id, 10) == [left]


def test_what_somebody_else_wrote_meanwhile_is_not_taken_for_ones_own(ground: Ground, lossy: DynamoContainers) -> None:
    container = ground.running()
    ground.true.want(container, Status.STOPPED, STOP, NOW)
    with pytest.raises(StaleWrite):
        lossy.want(container, Status.STOPPED, STOP, NOW)

    ground.true.begin_delete(container, NOW, a_cause())
    with pytest.raises(StaleWrite):
        lossy.begin_delete(container, NOW, a_cause())


PASSING = [
    *(cancelled(code) for code in ("TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded")),
    *(
        error(code)
        for code in (
            "TransactionInProgressException",
            "TransactionConflictException",
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
        )
    ),
    error("ServiceUnavailable", 503),
]

Write = Callable[[Ground, DynamoContainers], Callable[[], Any]]


def _applying(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    change = became_ready(ground.on_host())
    return lambda: store.apply(change.before, change.after, change.frames, release=False)


def _creating(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    return lambda: store.create(a_container(user_id=ground.user), 1000, PLENTY, None, {})


def _placing(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    container, host = ground.created(), ground.host()
    return lambda: store.place(container, host, NOW)


def _unplacing(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    placed = ground.on_host()
    return lambda: store.unplace(placed)


def _deleting(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    running = ground.running()
    return lambda: store.begin_delete(running, NOW, a_cause())


def _wanting(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    running = ground.running()
    return lambda: store.want(running, Status.STOPPED, STOP, NOW)


def _postponing(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    created = ground.created()
    return lambda: store.postpone(created, NOW, 1)


def _reconfiguring(ground: Ground, store: DynamoContainers) -> Callable[[], Any]:
    running, host = ground.running(), ground.host()
    resources = running.resources.model_copy(update={"memory_mb": 700})
    wanted = running.model_copy(update={"name": f"n-{uuid.uuid4().hex}", "resources": resources})
    return lambda: store.reconfigure(running, wanted, host)


WRITES: list[Write] = [_reconfiguring, _creating, _placing, _unplacing, _applying, _deleting, _wanting, _postponing]


@pytest.mark.parametrize("times", range(1, len(transactions.PAUSES) + 1))
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.response["Error"]["Code"])
def test_a_fault_that_passes_at_any_try_is_not_noticed(fault: ClientError, times: int, slept: list[float]) -> None:
    refusing = failing(fault, times)

    assert transactions.call(lambda: refusing(lambda: "done", "work")) == "done"

    assert len(slept) == times


@pytest.mark.parametrize("write", WRITES)
def test_a_write_outlasts_faults_that_pass(ground: Ground, write: Write, slept: list[float]) -> None:
    write(ground, ground.store(Wrapped(ground.client, failing(PASSING[0], 4))))()

    assert len(slept) == 4
    assert sum(transactions.PAUSES) <= 2


@pytest.mark.parametrize("write", WRITES)
def test_a_fault_that_stays_is_busy_and_writes_nothing(ground: Ground, write: Write, slept: list[float]) -> None:
    for fault in PASSING:
        work = write(ground, ground.store(Wrapped(ground.client, failing(fault, 100))))
        before = ground.rows()
        slept.clear()

        with pytest.raises(Busy):
            work()

        assert len(slept) == 4
        assert all(pause <= most for pause, most in zip(slept, transactions.PAUSES, strict=True))
        assert ground.rows() == before


@pytest.mark.parametrize("fault", [cancelled("ValidationError"), error("ValidationException")])
def test_a_fault_of_ours_is_not_taken_for_a_refusal(ground: Ground, fault: ClientError, slept: list[float]) -> None:
    store = ground.store(Wrapped(ground.client, failing(fault, 1)))

    with pytest.raises(ClientError):
        store.create(a_container(user_id=ground.user), 1000, PLENTY, None, {})

    assert slept == []
