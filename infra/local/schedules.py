"""EventBridge rules: a `rate(...)` expression comes in, the function runs as often, or faster by a factor."""

import asyncio
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from infra.local.errors import CloudError
from infra.local.functions import Functions

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60.0, "hour": 3600.0, "day": 86400.0}


def seconds_of(expression: str) -> float:
    """Seconds between two runs; only rates are known here, since nothing of ours runs at a time of day."""
    match = _RATE.fullmatch(expression)
    if match is None:
        raise CloudError(f"schedule {expression!r} is not a rate: the local cloud runs rate(...) only")
    return int(match[1]) * _SECONDS[match[2]]


async def run(function: str, seconds: float, functions: Functions, region: str) -> None:
    """Run the function every so many seconds until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        await functions.invoke(function, _event(function, region))


def _event(function: str, region: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:123456789012:rule/{function}"],
        "detail": {},
    }
