"""Whether all is well again: a running Berth comes in, the seconds until the auditor finds nothing go out."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from chalicelib.adapters.agent_http import HttpAgents
from chalicelib.adapters.dynamodb.ledger import DynamoLedger
from chalicelib.adapters.system import SystemClock, SystemIds
from chalicelib.domain.books import Books
from chalicelib.domain.differences import Difference, differences
from chalicelib.services.audit import Audit
from infra.local.berth import PREFIX, Berth

T_SECONDS = 180.0
"""I1 and I19: this long after the last fault all has to be well."""

LOOK_SECONDS = 0.5


@dataclass
class Auditor:
    """The audit over one running Berth."""

    audit: Audit
    doubles: set[str] = field(default_factory=set)
    """Containers that were seen twice at one time (I2)."""

    def look(self) -> tuple[Books, list[Difference]]:
        """Everything as of now, and how it differs."""
        books = self.audit.books()
        held = Counter(each.container_id for held in (books.holdings or {}).values() for each in held)
        self.doubles |= {container_id for container_id, count in held.items() if count > 1}
        return books, differences(books)

    def settle(
        self, well: Callable[[], object] = lambda: True, seconds: float = T_SECONDS, unseen: tuple[str, ...] = ()
    ) -> float:
        """Seconds until there are 0 differences, every host but those `unseen` answers, and all is `well`."""
        began = time.monotonic()
        while True:
            books, found = self.look()
            if not found and books.unseen == unseen and well():
                return time.monotonic() - began
            if time.monotonic() - began > seconds:
                raise NotSettled(found, books.unseen)
            time.sleep(LOOK_SECONDS)


class NotSettled(AssertionError):
    """It is not well in time."""

    def __init__(self, found: list[Difference], unseen: tuple[str, ...]) -> None:
        lines = [f"{each.kind}: {' '.join(each.ids)}: {each.expected}, found {each.found}" for each in found[:8]]
        super().__init__(f"{len(found)} differences, unseen {unseen}: " + "; ".join(lines))
        self.found = found


def auditor_of(berth: Berth) -> Auditor:
    """The auditor of a running Berth, in this process."""
    tables = {name: f"{PREFIX}-{name}" for name in ("containers", "events", "connections", "hosts")}
    ledger = DynamoLedger(_client(berth), tables)
    key = berth.environment["BERTH_CONTROL_PRIVATE_KEY"]
    agents = HttpAgents(httpx.Client(trust_env=False), key, SystemClock(), SystemIds())
    return Auditor(Audit(ledger, agents, SystemClock()))


def _client(berth: Berth) -> Any:
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    return berth.cloud.client("dynamodb")
