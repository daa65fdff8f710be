"""Asynchronous things for programs that are not: an async context manager comes in, its value goes out."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

Value = TypeVar("Value")


@contextlib.contextmanager
def in_thread(opened: Callable[[], AbstractAsyncContextManager[Value]]) -> Iterator[Value]:
    """Enter it in an event loop of a thread of its own, and leave it there at the end; its errors are raised here."""
    values: list[Value] = []
    errors: list[BaseException] = []
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        async with opened() as value:
            values.append(value)
            ready.set()
            await asyncio.to_thread(over.wait)

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - raised where the value is waited for
            errors.append(error)
        finally:
            ready.set()

    runner = threading.Thread(target=thread, name="background")
    runner.start()
    try:
        ready.wait()
        if errors:
            raise errors[0]
        yield values[0]
    finally:
        over.set()
        runner.join()
