"""moto's answers as the local cloud has them are those of moto, attribute by attribute."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer

from infra.local.moto_answers import final, passing
from tests.aws import REGION

ROW = {
    "k": {"S": "one"},
    "text": {"S": "ä"},
    "empty": {"S": ""},
    "number": {"N": "1.5"},
    "yes": {"BOOL": True},
    "no": {"BOOL": False},
    "nothing": {"NULL": True},
    "bytes": {"B": b"\x00\xff"},
    "many bytes": {"BS": [b"\x00", b"\x01"]},
    "words": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "list": {"L": [{"S": "x"}, {"L": [{"N": "1"}]}, {"B": b"\x01"}, {"M": {}}]},
    "map": {"M": {"a": {"S": "x"}, "b": {"M": {"c": {"NULL": True}, "d": {"B": b"\x02"}}}, "S": {"S": "like a kind"}}},
    "none": {"L": []},
}  # fmt: skip


@pytest.fixture(params=["moto's", "ours"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    if request.param == "ours":
        serializer: Any = BaseJSONSerializer
        monkeypatch.setattr(serializer, "_serialize_type_structure", passing(serializer._serialize_type_structure))
    with mock_aws():
        client = boto3.client("dynamodb", region_name=REGION)
        client.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        )
        yield client


def test_what_is_written_is_read(client: Any) -> None:
    client.put_item(TableName="t", Item=ROW)
    wanted = ROW | {
        "words": {"SS": {"a", "b"}},
        "numbers": {"NS": {"1", "2"}},
        "many bytes": {"BS": {b"\x00", b"\x01"}},
    }

    read = client.get_item(TableName="t", Key={"k": ROW["k"]})["Item"]
    [queried] = client.query(
        TableName="t", KeyConditionExpression="k = :k", ExpressionAttributeValues={":k": ROW["k"]}
    )["Items"]
    old = client.delete_item(TableName="t", Key={"k": ROW["k"]}, ReturnValues="ALL_OLD")["Attributes"]

    for found in (read, queried, old):
        for name in ("words", "numbers", "many bytes"):
            [(kind, values)] = found[name].items()
            found[name] = {kind: set(values)}
        assert found == wanted


def test_numbers_that_were_counted_are_read_as_numbers(client: Any) -> None:
    client.put_item(TableName="t", Item={"k": ROW["k"], "n": {"N": "1"}})
    found = client.update_item(
        TableName="t",
        Key={"k": ROW["k"]},
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="ALL_NEW",
    )

    assert found["Attributes"]["n"] == {"N": "2"}


@pytest.mark.parametrize(
    "value", [{"B": "AA=="}, {"L": [{"B": "AA=="}]}, {"N": 1}, {"S": None}, {"S": "a", "N": "1"}, "S", {}]
)
def test_whatever_is_not_as_on_the_wire_is_left_to_moto(value: Any) -> None:
    assert not final(value)
