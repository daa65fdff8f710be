"""A request for a container, checked: fields come in, the record and what was adjusted go out."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chalicelib.contract.resources import NetworkMode, Resources, Shell
from chalicelib.domain import catalogue
from chalicelib.domain.container import Container
from chalicelib.domain.identity import Caller
from chalicelib.domain.images import ImageChoice

SUPPORTED_DEADLINE = timedelta(seconds=110)
LONG_DEADLINE = timedelta(seconds=290)
"""For an image that no host may have yet: somebody's own, or one that a role's tools have to be put into.

A creation is over by then. The sweeper, which looks every minute, ends it inside the 180 and 360 s of I1."""

FIRST_LOOK = timedelta(seconds=5)
"""The sweeper re-drives a record that nobody has taken up by then (M1)."""


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """What a client asked for; amounts are None (or 0) where the tier's default is meant."""

    image: ImageChoice
    name: str | None = None
    role: str = ""
    shell: Shell = field(default_factory=Shell)
    memory_mb: int | None = None
    cpu_shares: int | None = None
    disk_mb: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    network_mode: NetworkMode = NetworkMode.DEFAULT
    allowed_domains: list[str] = field(default_factory=list)

    def _patience(self) -> timedelta:
        prepared = self.role not in ("", catalogue.BAREBONE)
        return LONG_DEADLINE if self.image.custom or prepared else SUPPORTED_DEADLINE

    def container(self, container_id: str, name: str, caller: Caller, now: datetime) -> Container:
        """The record of a new container of this caller."""
        expires_at, session_seconds = _session(caller, now)
        return Container(
            id=container_id,
            user_id=caller.user_id,
            tier=caller.tier,
            name=name,
            image=self.image.asked,
            image_reference=self.image.reference,
            role=self.role,
            shell=self.shell,
            resources=granted(self, caller.tier),
            environment=self.environment,
            labels=self.labels,
            network_mode=self.network_mode,
            allowed_domains=self.allowed_domains,
            created_at=now,
            last_used_at=now,
            expires_at=expires_at,
            session_limit_seconds=session_seconds,
            deadline=_earlier(now + self._patience(), expires_at),
            due_at=now + FIRST_LOOK,
        )

    def adjusted(self, tier: str) -> dict[str, dict[str, int]]:
        """The amounts that were clamped: requested and granted, by field."""
        grants = granted(self, tier).model_dump()
        asked = {"memory_mb": self.memory_mb, "cpu_shares": self.cpu_shares, "disk_mb": self.disk_mb}
        return {
            amount: {"requested": requested, "granted": grants[amount]}
            for amount, requested in asked.items()
            if requested and requested != grants[amount]
        }


def granted(request: ContainerRequest, tier: str) -> Resources:
    """What the tier grants of what was asked for."""
    ranges = catalogue.tiers()[tier]
    return Resources(
        memory_mb=ranges.memory_mb.grant(request.memory_mb),
        cpu_shares=ranges.cpu_shares.grant(request.cpu_shares),
        disk_mb=ranges.disk_mb.grant(request.disk_mb),
    )


def _earlier(deadline: datetime, expires_at: datetime | None) -> datetime:
    """What is not made before its session is over is not made at all (FM 57)."""
    return min(deadline, expires_at) if expires_at else deadline


def _session(caller: Caller, now: datetime) -> tuple[datetime | None, int | None]:
    """When the container expires and the session's length; a guest's container ends with the guest's token."""
    seconds = catalogue.tiers()[caller.tier].session_seconds
    if seconds is None:
        return None, None
    ends = now + timedelta(seconds=seconds)
    if caller.guest and caller.until is not None:
        ends = min(ends, caller.until)
    return ends, int((ends - now).total_seconds())
