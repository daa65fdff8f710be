"""Between AWS's shapes and ours: events come in, answers in the contract's words go out.

Each module is loaded when a handler first names it, so that a function loads those of its own kind of events alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalicelib.edge import containers, files, http, invocations, queues, service_pages, sockets, terminals, tokens

__all__ = ["containers", "files", "http", "invocations", "queues", "service_pages", "sockets", "terminals", "tokens"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
