"""Cost and limits on paper: counts that a test measures come in, `docs/capacity.md` goes out.

`python -m infra.aws.capacity` writes the page; `tests/app/test_cost_of_a_life.py` counts the calls over the real
functions and fails when they, or the page, are no longer these.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "capacity.md"


@dataclass(frozen=True, slots=True)
class Calls:
    """How often a function makes an AWS call in one container's life."""

    function: str
    call: str
    count: int


CALLS = (
    Calls("api_handler", "TransactWriteItems", 2),
    Calls("api_handler", "SendMessage", 2),
    Calls("api_handler", "GetItem", 1),
    Calls("provision", "GetItem", 3),
    Calls("provision", "Query", 1),
    Calls("provision", "TransactWriteItems", 1),
    Calls("provision", "SendMessage", 1),
    Calls("status", "GetItem", 6),
    Calls("status", "TransactWriteItems", 5),
    Calls("status", "Query", 5),
    Calls("status", "PostToConnection", 9),
)
"""Created, ready, deleted; one subscriber, a cached token, an image the host has."""

WRITES = {"api_handler": 14, "provision": 4, "status": 30}
"""Write units when no row is over 1 KB; a write in a transaction counts twice."""

HOST_MESSAGES = 4
"""Messages that the host itself sends: what it tells within a tenth of a second travels together (ADR 0028)."""

INVOCATIONS = {"api_handler": 2, "provision": 2, "status": 5}
SECONDS, GIGABYTES = 0.05, 0.5
"""Assumed of every invocation; `make bench` measures the functions locally."""


@dataclass(frozen=True, slots=True)
class Price:
    """List price in US dollars per million (us-east-1, as known in 2026; check yours)."""

    what: str
    per_million: float
    units: float


def prices() -> list[Price]:
    """What one life uses, with its price."""
    messages = _count("SendMessage") + HOST_MESSAGES
    invocations = sum(INVOCATIONS.values())
    return [
        Price("REST requests", 3.5, INVOCATIONS["api_handler"]),
        Price("function invocations", 0.2, invocations),
        Price("function GB-seconds", 16.6667, invocations * SECONDS * GIGABYTES),
        Price("DynamoDB write units", 0.625, sum(WRITES.values())),
        Price("DynamoDB read units", 0.125, _count("GetItem") + _count("Query")),
        Price("SQS FIFO requests (send, receive, delete)", 0.5, 3 * messages),
        Price("WebSocket messages, one subscriber", 1.0, _count("PostToConnection")),
    ]


def _count(call: str) -> int:
    return sum(row.count for row in CALLS if row.call == call)


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota that binds, what a create a second uses of it, and its default."""

    name: str
    per_create: float
    default: float
    ask: str


def limits() -> list[Limit]:
    """In the order in which they bind, as far as the defaults are the same everywhere."""
    pushes = 2 * _count("PostToConnection")
    events = HOST_MESSAGES + 1
    return [
        Limit("messages/s of a FIFO queue without high throughput", events, 300, "nothing: high throughput is on"),
        Limit(
            "new DynamoDB table on demand, write units/s", sum(WRITES.values()), 4_000, "warm throughput of the tables"
        ),
        Limit("API Gateway requests/s of the account, two subscribers each", 2 + pushes, 10_000, "account throttle"),
        Limit(
            "functions at once",
            sum(INVOCATIONS.values()) * SECONDS,
            1_000,
            "concurrent executions, and reserve per function",
        ),
        Limit("high-throughput FIFO, messages/s (smaller regions)", events, 9_000, "another region"),
        Limit("DynamoDB write units/s of a table", sum(WRITES.values()), 40_000, "table quota"),
    ]


def page() -> str:
    """The page's text."""
    total = sum(each.per_million * each.units for each in prices())
    lines = [
        "# Capacity and cost",
        "",
        "Written by `python -m infra.aws.capacity` from counts that `tests/app/test_cost_of_a_life.py` measures over the",
        "real functions: one container created, brought to `ready` and deleted, watched by one subscriber, with a cached",
        "token and an image that its host has. Prices are list prices; nothing here was measured on AWS.",
        "",
        "## AWS calls of one life",
        "",
        "| function | call | times |",
        "|---|---|---|",
        *(f"| {row.function} | {row.call} | {row.count} |" for row in CALLS),
        f"| host agent | SendMessage | {HOST_MESSAGES} |",
        "",
        "A creation of a quarter of a second tells two events at a time. A longer one sends up to three messages more, and",
        "one for each tenth of a second in which a pull gets on; each is a read, a transaction and a query of `status`.",
        "",
        "The 202 itself takes two of them: one transaction, one message.",
        "",
        "## Dollars per million lives",
        "",
        "| what | units a life | $ per million units | $ per million lives |",
        "|---|---|---|---|",
        *(f"| {p.what} | {p.units:g} | {p.per_million:g} | {p.units * p.per_million:.2f} |" for p in prices()),
        f"| **all** | | | **{total:.2f}** |",
        "",
        f"Every further subscriber adds {_count('PostToConnection')} messages. Rows are taken to be under 1 KB; a container",
        "with a large environment costs more writes. Not in it: hosts, logs, heartbeats (below), data transfer.",
        "",
        "A host's heartbeat every 10 s is one SQS message and one write: about "
        f"{_heartbeat_dollars():.2f} $ a host and month.",
        "",
        "## What binds first, and what to ask for",
        "",
        "| limit | used per create/s | default | binds at creates/s | at 10 | at 100 | at 1,000 |",
        "|---|---|---|---|---|---|---|",
        *(_limit_row(limit) for limit in limits()),
        "",
        "`ok` means under 70 % of the default. Per user the API allows 5 creates a second, so no user's own rows get hot;",
        "a host's row takes two writes per container placed on it. An engine starts single-digit containers a second, so",
        "1,000 creates a second want some hundreds of hosts before anything in AWS does.",
    ]
    return "\n".join(lines) + "\n"


def _limit_row(limit: Limit) -> str:
    cells = [_verdict(limit, rate) for rate in (10, 100, 1_000)]
    binds = math.floor(limit.default / limit.per_create)
    return f"| {limit.name} | {limit.per_create:g} | {limit.default:,g} | {binds:,} | {' | '.join(cells)} |"


def _verdict(limit: Limit, rate: int) -> str:
    return "ok" if limit.per_create * rate <= 0.7 * limit.default else f"ask: {limit.ask}"


def _heartbeat_dollars() -> float:
    beats = 30 * 24 * 360
    return beats * (3 * 0.5 + 0.625 + 0.2 + 0.125) / 1_000_000


def as_json() -> str:
    """The counts for programs."""
    return json.dumps({"calls": [asdict(row) for row in CALLS], "writes": WRITES})


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE.name}\n")
