"""What a container uses, for one who attends a terminal in it: readings come in, frames go out, the newest or none."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from chalicelib.contract.agent_api import Used
from infra.hostagent.ports import EngineError
from infra.hostagent.terminals.frames import stats_frame

STATS_SECONDS = 1.0
"""From one reading to the next."""
BLIND_READINGS = 10
"""What could not be measured is looked at again after so many times as long."""


@dataclass(slots=True)
class Figures:
    """A frame waits until it is taken or there is a newer one: who is slow misses some, and none is ever old."""

    read: Callable[[], Used | None]
    threads: Executor
    news: asyncio.Event
    """Told of every frame."""
    seconds: float = STATS_SECONDS
    _waiting: str | None = None

    def take(self) -> str | None:
        """The newest frame that was not taken yet."""
        frame, self._waiting = self._waiting, None
        return frame

    async def go_on(self) -> None:
        """Read without end; the first reading is what the next is compared with, and tells nobody anything."""
        fresh = True
        while True:
            usage = await self._reading()
            if usage is not None and not fresh:
                self._waiting = stats_frame(usage)
                self.news.set()
            fresh = usage is None
            await asyncio.sleep(self.seconds * (BLIND_READINGS if fresh else 1))

    async def _reading(self) -> Used | None:
        """By a thread: the first asks the engine."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, self.read)
        except EngineError:
            return None
