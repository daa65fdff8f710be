"""What a function asks of AWS: each of its calls comes in, the permission that it needs goes out into a file.

So that policies can be compared with what the code does. One line of JSON per permission: function, action, resource.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "LOCAL_CALLS_LOG"
"""Names the file; nothing is recorded without it."""

_TRANSACTION = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def record_from_here(function: str) -> None:
    """Note what this process asks of AWS by sessions made from now on, if the environment names a file."""
    if log := os.environ.get(VARIABLE):
        from botocore.handlers import BUILTIN_HANDLERS  # the application's: this module is in the process of any

        BUILTIN_HANDLERS.append(("provide-client-params", _Recorder(function, Path(log))))


class _Recorder:
    """Writes each permission once per process."""

    def __init__(self, function: str, log: Path) -> None:
        self._function = function
        self._log = log
        self._seen: set[tuple[str, str]] = set()

    def __call__(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        for permission in permissions(model.service_model.service_id.hyphenize(), model.name, params):
            if permission not in self._seen:
                self._seen.add(permission)
                line = json.dumps([self._function, *permission]) + "\n"
                with self._log.open("a") as file:
                    file.write(line)


def permissions(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """IAM's action, and the resource's name within its service, of every part of a call."""
    if service == "dynamodb":
        yield from _of_tables(operation, params)
    elif service == "sqs":
        yield f"sqs:{operation}", str(params.get("QueueName") or params["QueueUrl"].rpartition("/")[2])
    elif service == "apigatewaymanagementapi":
        yield "execute-api:ManageConnections", "@connections"
    else:
        yield f"{service}:{operation}", str(params.get("Name", "*"))


def _of_tables(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A transaction needs what each of its writes needs; an index is a resource of its own."""
    if "TransactItems" in params:
        for item in params["TransactItems"]:
            [(kind, part)] = item.items()
            yield f"dynamodb:{_TRANSACTION[kind]}", part["TableName"]
        return
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    yield f"dynamodb:{operation}", f"{params['TableName']}{index}"
