"""Writing to DynamoDB: writes come in, they are committed together, or the reason of each, or Busy, goes out."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.adapters.dynamodb.items import Item, from_item
from chalicelib.domain.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

PAUSES = (0.02, 0.08, 0.3, 1.0)
"""Seconds between tries, at most: five tries and less than two seconds in all (reliability FM5)."""

_PASSING = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ServiceUnavailable",
    }
)
_CONDITION = "ConditionalCheckFailed"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a transaction was cancelled: for each write, whether its condition failed and the item as it was."""

    failed: tuple[bool, ...]
    found: tuple[dict[str, Any], ...]


class Conditional(Exception):
    """A single write's condition did not hold; `found` is the item as it was, if the write asked for it."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__("condition did not hold")
        self.found = found


def transact(client: Any, writes: Sequence[dict[str, Any]], token: str | None = None) -> Refusal | None:
    """Commit all writes or none: None when committed, the Refusal when a condition failed, Busy after retries.

    With a `token`, new for each call, DynamoDB answers a try that it has done already as it did the first time.
    """
    once = {"ClientRequestToken": token} if token else {}
    try:
        _retried(lambda: client.transact_write_items(TransactItems=list(writes), **once))
    except _Cancelled as cancelled:
        return cancelled.refusal
    return None


def call(work: Callable[[], Result]) -> Result:
    """Do one call with bounded retries: Conditional when its condition failed, Busy after the last."""
    return _retried(work)


def all_rows(ask: Callable[..., Any], **request: Any) -> "Iterator[dict[str, Any]]":
    """All rows of a query or scan, asked for page by page as they are used; each page as `call` asks."""
    page: dict[str, Any] = {}
    while True:
        answer = call(lambda page=page: ask(**request, **page))  # type: ignore[misc]
        yield from map(from_item, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


class _Cancelled(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__("transaction cancelled")
        self.refusal = refusal


class _Passing(Exception):
    """A fault that may be gone in a moment."""


def _retried(work: Callable[[], Result]) -> Result:
    for pause in (*PAUSES, None):
        try:
            with _translated():
                return work()
        except _Passing:
            if pause is not None:
                time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, not a secret
    raise Busy("the store refused after bounded retries")


@contextmanager
def _translated() -> "Iterator[None]":
    try:
        yield
    except ClientError as error:
        raise _ours(error) from error
    except BotoCoreError as error:
        raise _Passing from error


def _ours(error: ClientError) -> Exception:
    response: dict[str, Any] = dict(error.response)
    code = response.get("Error", {}).get("Code", "")
    if code == "ConditionalCheckFailedException":
        return Conditional(from_item(response.get("Item", {})))
    if code == "TransactionCanceledException":
        return _cancellation(response.get("CancellationReasons", []), error)
    if code in _PASSING or response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return _Passing()
    return error


def _cancellation(reasons: list[dict[str, Any]], error: ClientError) -> Exception:
    codes = [reason.get("Code", "None") for reason in reasons]
    if _CONDITION not in codes:
        return _Passing() if any(code in _PASSING for code in codes) else error
    found: list[Item] = [reason.get("Item") or {} for reason in reasons]
    return _Cancelled(Refusal(tuple(code == _CONDITION for code in codes), tuple(from_item(item) for item in found)))
