"""Changes that a user wants of a container: fields come in checked, the record as it would be goes out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.contract.resources import Resources
from chalicelib.contract.statuses import Status
from chalicelib.domain import catalogue
from chalicelib.domain.container import Container, PendingResize
from chalicelib.domain.request import FIRST_LOOK


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different; None stays as it is."""

    name: str | None = None
    memory_mb: int | None = None
    cpu_shares: int | None = None

    @property
    def amounts(self) -> dict[str, int]:
        """The amounts asked for."""
        asked = {"memory_mb": self.memory_mb, "cpu_shares": self.cpu_shares}
        return {amount: value for amount, value in asked.items() if value is not None}

    def granted(self, resources: Resources, tier: str) -> Resources:
        """The amounts as they would be, within the tier's ranges."""
        ranges = catalogue.tiers()[tier]
        grants = {amount: getattr(ranges, amount).grant(value) for amount, value in self.amounts.items()}
        return resources.model_copy(update=grants)

    def adjusted(self, granted: Resources) -> dict[str, dict[str, int]]:
        """The amounts that were clamped: requested and granted, by field."""
        return {
            amount: {"requested": value, "granted": getattr(granted, amount)}
            for amount, value in self.amounts.items()
            if value != getattr(granted, amount)
        }

    def of(self, container: Container, tier: str, action: str, now: datetime) -> Container:
        """The record with these changes, pending until told and confirmed; the same record when nothing differs."""
        name = self.name or container.name
        resources = self.granted(container.resources, tier)
        changes: dict[str, Any] = {}
        if name != container.name:
            changes |= {"name": name, "pending_rename": f"{action}:name"}
        if resources != container.resources:
            known = container.pending_resize.before if container.pending_resize else container.resources
            changes |= {"resources": resources, "pending_resize": PendingResize(action=action, before=known)}
        return container.model_copy(update=changes | _next_look(container, now)) if changes else container


def _next_look(container: Container, now: datetime) -> dict[str, Any]:
    """When the sweeper looks whether it is done. One that is being created is looked at anyway, and counts on; one in
    `error` is looked at only when its time is over."""
    if container.status not in (Status.RUNNING, Status.STOPPED):
        return {}
    return {"due_at": container.look_at(now + FIRST_LOOK), "attempt": 0}
