"""Policy files and recorded calls: what was called and not allowed, and what is allowed and was not called."""

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.aws import ROOT

POLICIES = {path.stem.removeprefix("policy-"): path for path in sorted((ROOT / ".chalice").glob("policy-*.json"))}
RECORDED = Path(__file__).parent / "calls.json"


class Call(NamedTuple):
    """One permission that a function has needed."""

    function: str
    action: str
    resource: str


class Grant(NamedTuple):
    """One permission that a policy file gives."""

    function: str
    action: str
    resource: str

    def covers(self, call: Call) -> bool:
        return (
            self.function == call.function
            and self.action == call.action
            and fnmatchcase(_arn(call.action, call.resource), self.resource)
        )


def grants(function: str) -> Iterator[Grant]:
    """Every action on every resource of a function's policy."""
    for statement in json.loads(POLICIES[function].read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in _list(statement["Action"]):
            for resource in _list(statement["Resource"]):
                yield Grant(function, action, resource)


def calls_in(path: Path) -> set[Call]:
    """The calls that the local cloud has recorded."""
    return {Call(*json.loads(line)) for line in path.read_text().splitlines()} if path.exists() else set()


def recorded() -> set[Call]:
    """The calls kept from a whole run of the flow suite."""
    found = json.loads(RECORDED.read_text())
    return {Call(function, *each) for function, calls in found.items() for each in calls}


def refused(calls: Iterable[Call]) -> set[Call]:
    """Those that no policy of their function allows."""
    given = [grant for function in POLICIES for grant in grants(function)]
    return {call for call in calls if not any(grant.covers(call) for grant in given)}


def unused(calls: Iterable[Call]) -> set[Grant]:
    """Permissions that no call has needed."""
    made = list(calls)
    return {
        grant for function in POLICIES for grant in grants(function) if not any(grant.covers(call) for call in made)
    }


def _arn(action: str, resource: str) -> str:
    place = "eu-west-1:123456789012"
    service = action.partition(":")[0]
    if service == "dynamodb":
        return f"arn:aws:dynamodb:{place}:table/{resource}"
    if service == "execute-api":
        return f"arn:aws:execute-api:{place}:api-id/api/POST/{resource}/connection"
    return (
        f"arn:aws:{service}:{place}:parameter{resource}"
        if service == "ssm"
        else f"arn:aws:{service}:{place}:{resource}"
    )


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
