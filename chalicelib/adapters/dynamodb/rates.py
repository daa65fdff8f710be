"""Counts by key and window in DynamoDB: `ports.RateStore`, rows `rate#<key>#<end>` of the tokens table."""

from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.dynamodb.items import epoch, from_item, instant, to_item
from chalicelib.domain.errors import Busy

_KEPT = timedelta(minutes=5)
_REFUSED = "ConditionalCheckFailedException"


class DynamoRates:
    """`ports.RateStore`; a count is worth one try, never a request's failure."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def add(self, key: str, ends: datetime, amount: int) -> int:
        update = {"UpdateExpression": "ADD counted :amount SET #ttl = :ttl", "ReturnValues": "UPDATED_NEW"}
        try:
            answer = self._update(key, ends, update, {":amount": amount})
        except (ClientError, BotoCoreError) as error:
            raise Busy("the store did not count") from error
        return int(from_item(answer["Attributes"])["counted"])

    def admit(self, key: str, ends: datetime, member: str, limit: int) -> bool:
        update = {
            "UpdateExpression": "ADD members :one SET #ttl = :ttl",
            "ConditionExpression": "attribute_not_exists(members) OR size(members) < :limit "
            "OR contains(members, :member)",
        }
        try:
            self._update(key, ends, update, {":one": {member}, ":member": member, ":limit": limit})
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == _REFUSED:
                return False
            raise Busy("the store did not count") from error
        except BotoCoreError as error:
            raise Busy("the store did not count") from error
        return True

    def _update(self, key: str, ends: datetime, update: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.update_item(
            TableName=self._table,
            Key=to_item({"token_hash": f"rate#{key}#{instant(ends)[:19]}"}),
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues=to_item(values | {":ttl": epoch(ends + _KEPT)}),
            **update,
        )
        return answer
