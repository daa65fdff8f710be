"""moto's transactions as the local cloud has them: all of one or nothing, and no row copied that is not changed."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from infra.local.moto_transactions import backup, on_a_copy
from tests.aws import REGION

NEVER = {"ConditionExpression": "attribute_exists(nothing)"}


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client with two tables of three rows, one of them without a range key."""
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(Table, "__deepcopy__", backup, raising=False)
    monkeypatch.setattr(DynamoDBBackend, "update_item", on_a_copy(DynamoDBBackend.update_item))
    with mock_aws():
        client = boto3.client("dynamodb", region_name=REGION)
        for name, keys in (("plain", ["h"]), ("ranged", ["h", "r"])):
            client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
            )
            for number in range(3):
                client.put_item(TableName=name, Item=row(number))
        yield client


def row(number: int, value: str = "old") -> dict[str, Any]:
    return {"h": {"S": "one" if number else "other"}, "r": {"S": str(number)}, "v": {"S": value}, "l": {"L": []}}


def key_of(name: str, number: int) -> dict[str, Any]:
    return {key: row(number)[key] for key in (("h",) if name == "plain" else ("h", "r"))}


def rows(client: Any) -> list[list[dict[str, Any]]]:
    return [client.scan(TableName=name)["Items"] for name in ("plain", "ranged")]


def writes(name: str, number: int) -> list[dict[str, Any]]:
    """Each kind of write of that row."""
    changed = {
        "UpdateExpression": "SET v = :v, l = list_append(l, :l)",
        "ExpressionAttributeValues": {":v": {"S": "new"}, ":l": {"L": [{"S": "more"}]}},
    }
    return [
        {"Update": {"TableName": name, "Key": key_of(name, number), **changed}},
        {"Put": {"TableName": name, "Item": row(number, "new")}},
        {"Delete": {"TableName": name, "Key": key_of(name, number)}},
        {"Put": {"TableName": name, "Item": row(7, "new") | {"h": {"S": "never there"}}}},
    ]


FAILS = {"ConditionCheck": {"TableName": "plain", "Key": {"h": {"S": "nobody"}}, **NEVER}}


@pytest.mark.parametrize("name", ["plain", "ranged"])
@pytest.mark.parametrize("kind", range(4))
def test_a_transaction_that_fails_leaves_everything_as_it_was(tables: Any, name: str, kind: int) -> None:
    before = rows(tables)

    with pytest.raises(ClientError) as refusal:
        tables.transact_write_items(TransactItems=[writes(name, 1)[kind], FAILS])

    assert refusal.value.response["Error"]["Code"] == "TransactionCanceledException"
    assert rows(tables) == before


@pytest.mark.parametrize("name", ["plain", "ranged"])
def test_a_transaction_that_holds_is_all_there(tables: Any, name: str) -> None:
    tables.transact_write_items(TransactItems=[writes(name, 0)[0], writes(name, 1)[1]])

    for number in (0, 1):
        assert tables.get_item(TableName=name, Key=key_of(name, number))["Item"]["v"] == {"S": "new"}


def test_after_a_failed_one_rows_are_written_as_before(tables: Any) -> None:
    for _ in range(2):
        with pytest.raises(ClientError):
            tables.transact_write_items(TransactItems=[writes("ranged", 1)[0], FAILS])
    tables.transact_write_items(TransactItems=[writes("ranged", 1)[0]])

    found = tables.get_item(TableName="ranged", Key=key_of("ranged", 1))["Item"]
    assert (found["v"], found["l"]) == ({"S": "new"}, {"L": [{"S": "more"}]})


def test_a_backup_shares_the_rows_that_nobody_changes(tables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Any] = []
    original: Any = Item.__deepcopy__
    monkeypatch.setattr(Item, "__deepcopy__", lambda item, memo: copied.append(item) or original(item, memo))
    assert len(dynamodb_backends["123456789012"][REGION].tables) == 2

    tables.transact_write_items(TransactItems=[writes("ranged", 1)[0], writes("ranged", 2)[1]])

    assert {item.range_key.value for item in copied} == {"1"}
