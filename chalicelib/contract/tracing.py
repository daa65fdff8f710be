"""Which request this is for: ids are bound while something is done for it, and lines and messages carry them.

The trace is the request id that the client was told (`X-Request-Id`); commands, calls to agents and events carry it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from chalicelib.contract.model import Traced

_BOUND: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))

_HEARERS: list[Callable[[Mapping[str, str]], None]] = []

Sent = TypeVar("Sent", bound="Traced")


def on_bound(hear: Callable[[Mapping[str, str]], None]) -> None:
    """From now on, `hear` is told of ids as they are bound."""
    _HEARERS.append(hear)


@contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """Inside, every log line carries these ids besides those bound further out; empty ones are left out."""
    known = {name: value for name, value in ids.items() if value}
    token = _BOUND.set({**_BOUND.get(), **known})
    try:
        for hear in _HEARERS:
            hear(known)
        yield
    finally:
        _BOUND.reset(token)


def bound_ids() -> Mapping[str, str]:
    """What is bound here and now."""
    return _BOUND.get()


def traced(message: Sent) -> Sent:
    """The message with the trace of what is being done, unless it has one."""
    trace = _BOUND.get().get("trace", "")
    return message if message.trace or not trace else message.model_copy(update={"trace": trace})
