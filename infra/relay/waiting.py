"""Clients of containers that are still made: such a client comes in, a pass and what was typed meanwhile go out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Never

from infra.relay.api import Caller, Pass
from infra.relay.doors import Knock
from infra.relay.line import ACCESS_ENDED, Client, End, Frame, Over, first_of
from infra.relay.refusals import Refused

HELD_BYTES = 64 * 1024
FRAME_COST = 64
"""Least that a frame counts for: empty ones take memory too."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a container is waited for."""

    creating_seconds: float = 600.0
    poll_seconds: int = 20
    pause_seconds: float = 1.0
    """Between two tries."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One client who came before its container."""

    client: Client
    caller: Caller
    knock: Knock
    patience: Patience

    async def passed(self) -> tuple[Pass, Sequence[Frame]]:
        """The pass once it runs, with what the client sent; Over when that is not to be, or the client leaves."""
        held: list[Frame] = []
        found = await first_of(self._until_running(), self._hold(held))
        return found, held

    async def _hold(self, held: list[Frame]) -> Never:
        size = 0
        while True:
            frame = await self.client.read()
            size += max(FRAME_COST, len(frame.encode() if isinstance(frame, str) else frame))
            if size > HELD_BYTES:
                raise Over(End(1009, "too much was sent before the container ran"))
            held.append(frame)

    async def _until_running(self) -> Pass:
        await self.client.tell("container_status", "creating")
        ends = time.monotonic() + self.patience.creating_seconds
        while time.monotonic() < ends:
            item = await self.caller.until_running(self.knock.container, self.patience.poll_seconds)
            try:
                return await self.caller.ticket(self.knock.container, self.knock.user)
            except Refused as refusal:
                if not is_creating(refusal) and not _passes(refusal):
                    await self._give_up(refusal, item)
            await asyncio.sleep(self.patience.pause_seconds)
        await self.client.tell("error", "the container took too long")
        raise Over(End(1013, "the container took too long"))

    async def _give_up(self, refusal: Refused, item: dict[str, object]) -> Never:
        if refusal.status in (401, 403):
            raise Over(ACCESS_ENDED)
        status = refusal.member("status")
        if status:
            await self.client.tell("container_status", status)
        failure = item.get("error")
        told = failure.get("message") if isinstance(failure, dict) else None
        reason = str(told or refusal.member("error") or "the container does not run")
        await self.client.tell("error", reason)
        raise Over(End(1011, reason))


def is_creating(refusal: Refused) -> bool:
    """Whether the API says that the container is still made."""
    return refusal.status == 409 and refusal.member("status") == "creating"


def _passes(refusal: Refused) -> bool:
    """Whether it may be over soon."""
    return refusal.status == 429 or refusal.status >= 500
