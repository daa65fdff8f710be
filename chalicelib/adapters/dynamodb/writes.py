"""Single writes as data: a row, an expression and its values come in, a member of a transaction goes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.adapters.dynamodb.items import to_item

_SHOW_OLD = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table, by its key; every conditional write gives the row as it was when the condition fails."""

    table: str
    key: Mapping[str, Any]

    def put(
        self,
        values: Mapping[str, Any],
        condition: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Write the whole row."""
        return {
            "Put": {
                "TableName": self.table,
                "Item": to_item({**values, **self.key}),
                **_conditional(condition, arguments, names),
            }
        }

    def update(
        self, expression: str, condition: str, arguments: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Change attributes of the row, which is made when it is not there."""
        return {
            "Update": {
                "TableName": self.table,
                "Key": to_item(self.key),
                "UpdateExpression": expression,
                **_conditional(condition, arguments, names),
            }
        }

    def delete(self, condition: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Take the row away."""
        return {
            "Delete": {"TableName": self.table, "Key": to_item(self.key), **_conditional(condition, arguments, None)}
        }

    def check(
        self, condition: str, arguments: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Change nothing, but let the transaction be committed only when the condition holds."""
        return {
            "ConditionCheck": {
                "TableName": self.table,
                "Key": to_item(self.key),
                **_conditional(condition, arguments, names),
            }
        }


def _conditional(
    condition: str | None, arguments: Mapping[str, Any] | None, names: Mapping[str, str] | None
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if condition is not None:
        parts = {"ConditionExpression": condition, **_SHOW_OLD}
    if arguments:
        parts["ExpressionAttributeValues"] = to_item(arguments)
    if names:
        parts["ExpressionAttributeNames"] = dict(names)
    return parts
