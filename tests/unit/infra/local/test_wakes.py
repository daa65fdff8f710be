"""Words between moto's process and the pumps: who is meant hears, and nobody else."""

import asyncio

from infra.local.wakes import Voice, Wakes


def test_the_queue_named_is_woken_and_no_other() -> None:
    async def hears() -> tuple[bool, bool]:
        wakes = Wakes()
        meant, other = wakes.of("events.fifo"), wakes.of("commands.fifo")
        listening = asyncio.create_task(wakes.listen())
        Voice(wakes.port).say("events.fifo")
        await asyncio.wait_for(meant.wait(), 10)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        wakes.close()
        return meant.is_set(), other.is_set()

    assert asyncio.run(hears()) == (True, False)


def test_a_word_to_nobody_is_lost_quietly() -> None:
    wakes = Wakes()
    port = wakes.port
    wakes.close()

    Voice(port).say("events.fifo")
    Voice(port).say("events.fifo")


def test_a_word_can_come_later() -> None:
    async def hears() -> bool:
        wakes = Wakes()
        flag = wakes.of("events.fifo")
        listening = asyncio.create_task(wakes.listen())
        Voice(wakes.port).say_after(0.05, "events.fifo")
        early = flag.is_set()
        await asyncio.wait_for(flag.wait(), 10)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        wakes.close()
        return early

    assert asyncio.run(hears()) is False
