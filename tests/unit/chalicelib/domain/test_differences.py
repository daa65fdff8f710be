"""Books that agree show nothing; each kind of difference planted in them is found, with its age."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.contract.agent_api import Held
from chalicelib.contract.statuses import Status
from chalicelib.domain.books import Books, Entry, NameRow
from chalicelib.domain.differences import Difference, Kind, differences, reserved_by
from chalicelib.domain.host import Reserved
from tests.builders import NOW, USER, a_connection, a_container, a_host

LATER = NOW + timedelta(hours=1)


def held(container: Any, **changes: Any) -> Held:
    values = {"container_id": container.id, "generation": container.generation, "running": True, "age_seconds": 3600.0}
    return Held(**(values | changes))


def running(**changes: Any) -> Any:
    values = {"status": Status.RUNNING, "host_id": "host-1", "reserved": True, "seq": 2, "due_at": None}
    return a_container(**(values | changes))


def agreeing(*records: Any, **changes: Any) -> Books:
    """Books of these records in which everything is as it should be, but for the changes."""
    live = [record for record in records if record.live]
    placed = [record for record in live if record.host_id == "host-1"]
    values: dict[str, Any] = {
        "at": LATER,
        "records": records,
        "names": tuple(NameRow(record.user_id, record.name, record.id) for record in live),
        "counters": {USER: len(live)},
        "hosts": (a_host(received_at=LATER, reserved=reserved_by(records, "host-1")),),
        "entries": tuple(Entry(record.id, seq, NOW) for record in records for seq in range(1, record.seq + 1)),
        "holdings": {"host-1": tuple(held(record) for record in placed if record.status is Status.RUNNING)},
    }
    return Books(**(values | changes))


def only(books: Books) -> Difference:
    [difference] = differences(books)
    return difference


def test_books_that_agree_show_nothing() -> None:
    stopped, gone = running(status=Status.STOPPED), running(status=Status.DELETED, reserved=False)
    failed = running(status=Status.ERROR, reserved=False, due_at=LATER + timedelta(minutes=5))

    books = agreeing(running(), stopped, gone, failed, connections=(a_connection(),))

    assert differences(books) == []
    assert books.unseen == ()


@pytest.mark.parametrize("counted", [0, 2, -1])
def test_a_counter_that_drifted(counted: int) -> None:
    found = only(agreeing(running(), counters={USER: counted}))

    assert (found.kind, found.ids, found.expected, found.found) == (
        Kind.COUNTER, (USER,), "1 live", f"{counted} counted",
    )  # fmt: skip
    assert not found.young


def test_a_counter_that_is_missing() -> None:
    assert only(agreeing(running(), counters={})).kind is Kind.COUNTER


def test_a_live_container_without_its_name() -> None:
    container = running()

    found = only(agreeing(container, names=()))

    assert (found.kind, found.ids) == (Kind.NAME, (USER, container.name, container.id))


def test_a_name_of_no_live_container() -> None:
    container = running()
    leaked = NameRow(USER, "leaked", "nobody")

    found = only(agreeing(container, names=(NameRow(USER, container.name, container.id), leaked)))

    assert (found.kind, found.ids) == (Kind.NAME, (USER, "leaked", "nobody"))


def test_two_live_containers_of_one_name() -> None:
    one, other = running(name="same"), running(name="same")

    found = only(agreeing(one, other, names=(NameRow(USER, "same", one.id),)))

    assert (found.kind, found.ids[2], found.found) == (Kind.NAME, other.id, f"a row naming {one.id}")


def test_room_held_by_nobody_and_room_not_counted() -> None:
    books = agreeing(running())
    [host] = books.hosts
    for reserved in (Reserved(), Reserved(memory_mb=512, cpu_shares=500, disk_mb=1024, containers=2)):
        drifted = replace(books, hosts=(host.model_copy(update={"reserved": reserved}),))

        assert (only(drifted).kind, only(drifted).ids) == (Kind.RESERVATION, ("host-1",))


@pytest.mark.parametrize(
    ("status", "reserved"), [(Status.ERROR, True), (Status.DELETED, True), (Status.RUNNING, False)]
)
def test_a_record_that_holds_what_it_should_not(status: Status, reserved: bool) -> None:
    record = running(status=status, reserved=reserved)

    assert only(agreeing(record)).kind is Kind.RESERVATION


def test_an_engine_container_without_a_record_is_young_for_its_grace() -> None:
    orphan = a_container()
    for age, young in ((10.0, True), (400.0, False)):
        found = only(agreeing(holdings={"host-1": (held(orphan, age_seconds=age),)}, counters={}))

        assert (found.kind, found.found, found.young) == (Kind.ORPHAN, "no record", young)


@pytest.mark.parametrize("changes", [{"host_id": "host-2"}, {"generation": 2}])
def test_an_engine_container_that_its_record_does_not_name(changes: dict[str, Any]) -> None:
    record = running(**changes)
    books = agreeing(record, hosts=(), holdings={"host-1": (held(record, generation=1),)})

    assert Kind.ORPHAN in [each.kind for each in differences(books)]


def test_what_is_left_of_a_deleted_container_is_as_old_as_its_deletion() -> None:
    gone = running(status=Status.DELETED, reserved=False)
    entries = (Entry(gone.id, 1, NOW), Entry(gone.id, 2, LATER - timedelta(seconds=20)))

    found = only(agreeing(gone, holdings={"host-1": (held(gone),)}, entries=entries))

    assert (found.kind, found.age, found.young) == (Kind.ORPHAN, 20.0, True)


@pytest.mark.parametrize("containers", [(), ("stopped",)])
def test_a_running_record_with_nothing_running_behind_it(containers: tuple[str, ...]) -> None:
    record = running()
    holding = tuple(held(record, running=False) for _ in containers)

    found = only(agreeing(record, holdings={"host-1": holding}))

    assert (found.kind, found.age, found.bound) == (Kind.NOT_RUNNING, None, 15.0)


def test_a_running_record_on_a_lost_host_is_young_for_two_minutes() -> None:
    record = running()
    for silent, young in ((100, True), (130, False)):
        host = a_host(received_at=LATER - timedelta(seconds=silent), reserved=reserved_by((record,), "host-1"))

        found = only(agreeing(record, hosts=(host,), holdings={}))

        assert (found.kind, found.young) == (Kind.NOT_RUNNING, young)


def test_what_a_host_that_does_not_answer_holds_is_not_compared() -> None:
    books = agreeing(running(), holdings={})

    assert differences(books) == []
    assert books.unseen == ("host-1",)


def test_a_stopped_record_that_runs_on() -> None:
    record = running(status=Status.STOPPED)

    assert only(agreeing(record, holdings={"host-1": (held(record),)})).kind is Kind.STILL_RUNNING


def test_a_creation_and_a_deletion_are_young_until_their_bound() -> None:
    creating = a_container()
    deleting = running(status=Status.DELETING, due_at=NOW)
    for seconds, young in ((100, True), (1000, False)):
        books = agreeing(creating, deleting, at=NOW + timedelta(seconds=seconds))
        books = replace(books, hosts=(books.hosts[0].model_copy(update={"received_at": books.at}),))

        assert [(each.kind, each.ids, each.young) for each in differences(books)] == [
            (Kind.UNFINISHED, (creating.id,), young),
            (Kind.UNFINISHED, (deleting.id,), young),
        ]


def test_a_deletion_put_off_again_and_again_grows_old() -> None:
    put_off = running(status=Status.DELETING, due_at=LATER + timedelta(seconds=120), attempt=5)

    assert not only(agreeing(put_off)).young


def test_a_change_that_its_host_does_not_confirm_is_young_until_it_is_given_up() -> None:
    waiting = running(pending_rename="action", due_at=NOW)
    for seconds, young in ((100, True), (1000, False)):
        books = agreeing(waiting, at=NOW + timedelta(seconds=seconds))
        books = replace(books, hosts=(books.hosts[0].model_copy(update={"received_at": books.at}),))

        assert (only(books).kind, only(books).found, only(books).young) == (Kind.UNFINISHED, "waiting", young)


@pytest.mark.parametrize(
    "record",
    [running(expires_at=NOW), running(status=Status.ERROR, reserved=False, due_at=NOW)],
    ids=["session over", "error"],
)
def test_a_container_that_overstayed(record: Any) -> None:
    found = only(agreeing(record))

    assert (found.kind, found.young) == (Kind.OVERSTAYED, False)


def test_a_connection_past_its_expiry_is_left_to_the_store_for_two_days() -> None:
    for days, young in ((1, True), (3, False)):
        found = only(agreeing(connections=(a_connection(expires_at=LATER - timedelta(days=days)),), counters={}))

        assert (found.kind, found.young) == (Kind.CONNECTION, young)


@pytest.mark.parametrize(("seqs", "text"), [([2], "without [1]"), ([1], "without [2]"), ([1, 2, 3], "up to 3")])
def test_a_log_with_a_gap_or_a_frame_too_many(seqs: list[int], text: str) -> None:
    record = running()

    found = only(agreeing(record, entries=tuple(Entry(record.id, seq, NOW) for seq in seqs)))

    assert (found.kind, found.expected, found.found) == (Kind.LOG, "1..2", text)


def test_the_faded_beginning_of_an_old_log_is_no_gap() -> None:
    record = running(created_at=LATER - timedelta(days=100))

    assert differences(agreeing(record, entries=(Entry(record.id, 2, NOW),))) == []
