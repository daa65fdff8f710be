"""Numbers of a terminal: the newest waits for whoever takes it, and none is told that nothing can be compared with."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from chalicelib.contract.agent_api import Used
from infra.hostagent.ports import EngineDown
from infra.hostagent.terminals.figures import Figures
from infra.hostagent.terminals.frames import stats_frame


def usage(memory: int) -> Used:
    return Used(
        cpu_percent=0.0, memory=memory, memory_limit=0, disk_read=0, disk_write=0, disk_usage=0, disk_limit=0,
        net_rx=0, net_tx=0,
    )  # fmt: skip


@dataclass
class Readings:
    """Each at its turn, and then the last for ever."""

    each: list[Used | EngineDown | None]
    taken: int = 0
    turns: Iterator[Used | EngineDown | None] = field(init=False)

    def __post_init__(self) -> None:
        self.turns = iter(self.each)

    def __call__(self) -> Used | None:
        self.taken += 1
        reading = next(self.turns, self.each[-1])
        if isinstance(reading, EngineDown):
            raise reading
        return reading


def frames_after(readings: Readings, *, each_is_taken: bool) -> list[str | None]:
    """What is taken meanwhile, or at the end, when all were read."""

    async def attend() -> list[str | None]:
        taken = []
        with ThreadPoolExecutor(1) as threads:
            figures = Figures(readings, threads, news := asyncio.Event(), seconds=0.001)
            going = asyncio.create_task(figures.go_on())
            while readings.taken <= len(readings.each):
                if each_is_taken and news.is_set():
                    news.clear()
                    taken.append(figures.take())
                await asyncio.sleep(0)
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            return taken or [figures.take(), figures.take()]

    return asyncio.run(attend())


def test_the_newest_waits_and_is_taken_once() -> None:
    readings = Readings([usage(number) for number in range(5)])

    assert frames_after(readings, each_is_taken=False) == [stats_frame(usage(4)), None]


def test_the_first_after_nothing_is_not_told() -> None:
    readings = Readings([usage(1), usage(2), usage(3), None, usage(4), usage(5), EngineDown(), usage(6), usage(7)])

    taken = frames_after(readings, each_is_taken=True)

    assert list(dict.fromkeys(taken)) == [stats_frame(usage(number)) for number in (2, 3, 5, 7)]


def test_what_cannot_be_measured_is_told_nothing_of() -> None:
    assert frames_after(Readings([None, EngineDown(), None]), each_is_taken=False) == [None, None]
