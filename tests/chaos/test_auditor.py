"""The auditor on the real stack: silent under load, and it finds and mends what somebody planted."""

import contextlib
import uuid

from infra.ground.images import TINY
from infra.local.berth import PREFIX
from tests.chaos.cells import CALLS, Stage
from tests.chaos.clients import load_of
from tests.chaos.faults import until

LABELS = {"berth.managed": "true", "berth.generation": "1", "berth.user": "user-nobody"}
GONE_SECONDS = 90
"""The agent's grace of these suites, the control plane's answer and a look."""


def test_creates_in_flight_are_no_defects(stage: Stage) -> None:
    load = load_of([stage.user.create] * CALLS)
    load.under_way(3)

    during = stage.auditor.audit.run()

    load.join()
    assert during.defects == ()
    stage.auditor.settle(lambda: "creating" not in stage.user.statuses().values())
    load_of([lambda each=each: stage.user.delete(each) for each in stage.user.statuses()]).join()
    stage.auditor.settle()


def test_a_counter_a_name_and_a_reservation_changed_by_hand_are_found_and_mended(stage: Stage) -> None:
    [host_id] = stage.berth.hosts
    user_id = stage.auditor.audit.ledger.records()[0].user_id
    table = stage.berth.cloud.client("dynamodb")
    add = {"UpdateExpression": "ADD #counted :two", "ExpressionAttributeValues": {":two": {"N": "2"}}}
    table.update_item(
        TableName=f"{PREFIX}-containers", Key={"user_id": {"S": user_id}, "sk": {"S": "quota"}},
        ExpressionAttributeNames={"#counted": "live"}, **add,
    )  # fmt: skip
    table.update_item(
        TableName=f"{PREFIX}-hosts", Key={"host_id": {"S": host_id}},
        ExpressionAttributeNames={"#counted": "reserved_memory_mb"}, **add,
    )  # fmt: skip
    leaked = {"user_id": {"S": user_id}, "sk": {"S": "name#leaked"}, "container_id": {"S": str(uuid.uuid4())}}
    table.put_item(TableName=f"{PREFIX}-containers", Item=leaked)

    report = stage.auditor.audit.run(repair=True)

    assert sorted(each.kind for each in report.mended) == ["counter", "name", "reservation"]
    assert report.defects == ()
    stage.auditor.settle(seconds=5)


def test_a_container_without_a_record_goes_and_a_stranger_stays(stage: Stage) -> None:
    [host] = stage.berth.hosts.values()
    ghost = str(uuid.uuid4())
    labels = LABELS | {"berth.host": host.id, "berth.container": ghost}
    with contextlib.closing(host.engine.client()) as client:
        planted = client.containers.run(
            TINY, ["sleep", "600"], detach=True, init=True, name=f"berth-{ghost}-1", labels=labels
        )
        stranger = client.containers.run(TINY, ["sleep", "600"], detach=True, init=True)
        try:
            _, found = stage.auditor.look()
            assert [(each.kind, each.ids[0]) for each in found] == [("orphan", ghost)]

            until(
                lambda: not client.containers.list(all=True, ignore_removed=True, filters={"id": planted.id}),
                GONE_SECONDS,
            )

            assert client.containers.get(stranger.id).status == "running"
            stage.auditor.settle()
        finally:
            stranger.remove(force=True)


def test_a_container_removed_behind_our_back_is_told_of(stage: Stage) -> None:
    [host] = stage.berth.hosts.values()
    container_id = stage.user.create()
    stage.auditor.settle(lambda: stage.user.statuses().get(container_id) == "running")
    with contextlib.closing(host.engine.client()) as client:
        [theirs] = client.containers.list(filters={"label": f"berth.container={container_id}"})
        theirs.remove(force=True)

    until(lambda: stage.user.get(container_id)["status"] == "stopped", 15)

    assert stage.user.get(container_id)["stopped_because"]["code"] == "engine_error"
    stage.auditor.settle()
    stage.user.delete(container_id)
    stage.auditor.settle()
