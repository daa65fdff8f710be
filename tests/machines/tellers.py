"""What hosts say: a placed container comes in, a legal stream of its host's numbered events goes out, one at a time."""

from typing import Any

from chalicelib.contract.causes import Code
from chalicelib.contract.events import (
    AboutContainer,
    Claimed,
    Created,
    Failed,
    Passed,
    Progress,
    Ready,
    Removed,
    Started,
    Stopped,
)
from chalicelib.contract.statuses import Stage
from tests.builders import NOW, a_cause

CREATION: tuple[tuple[type[Any], dict[str, Any]], ...] = (
    (Progress, {"stage": Stage.PULLING, "progress": 15, "message": "m"}),
    (Progress, {"stage": Stage.PULLING, "progress": 60, "message": "m"}),
    (Progress, {"stage": Stage.CREATING, "progress": 65, "message": "m"}),
    (Created, {}),
    (Progress, {"stage": Stage.STARTING, "progress": 75, "message": "m"}),
    (Progress, {"stage": Stage.CONFIGURING, "progress": 90, "message": "m"}),
    (Ready, {"started_at": NOW}),
)

CLAIM_UNTIL = 2
"""A container made ahead may become this one as long as no more than so many events have been told."""


class Teller:
    """One host's side of one container in one generation."""

    def __init__(self, host_id: str, container_id: str, user_id: str, generation: int) -> None:
        self.host_id = host_id
        self.ids = {"container_id": container_id, "user_id": user_id, "generation": generation}
        self.said: list[AboutContainer] = []
        self.delivered = 0
        """How many were delivered in order."""
        self.state = "creating"

    def tell(self, choice: int) -> AboutContainer | None:
        """The next event, of those that may come next; None when there is nothing more to say."""
        kind, fields = self._next(choice)
        if kind is None:
            return None
        event: AboutContainer = kind(**self.ids, number=len(self.said) + 1, at=NOW, **fields)
        self.said.append(event)
        return event

    def _next(self, choice: int) -> tuple[type[Any] | None, dict[str, Any]]:
        if self.state in ("failed", "removed"):
            return None, {}
        if choice == 0:
            self.state = "removed"
            return Removed, {"cause": a_cause(Code.EXPIRED)}
        if self.state == "creating":
            return self._creating(choice)
        if self.state == "running" and choice == 1:
            return Started, {"started_at": NOW}
        if self.state == "running":
            self.state = "stopped"
            return Stopped, {"cause": a_cause(Code.EXITED)}
        self.state = "running"
        return Started, {"started_at": NOW}

    def _creating(self, choice: int) -> tuple[type[Any], dict[str, Any]]:
        if choice == 1:
            self.state = "failed"
            return Failed, {"cause": a_cause(Code.ENGINE_ERROR)}
        if choice == 2 and len(self.said) < CLAIM_UNTIL:
            self.state = "running"
            passed = [Passed(**fields) for kind, fields in CREATION[1:] if kind is Progress]
            return Claimed, {"engine_id": f"{self.ids['generation']:064x}", "started_at": NOW, "passed": passed}
        kind, fields = CREATION[len(self.said)]
        if kind is Ready:
            self.state = "running"
        known = {"engine_id": f"{self.ids['generation']:064x}"} if kind in (Created, Ready) else {}
        return kind, fields | known
