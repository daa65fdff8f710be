"""Around every invocation, whatever started it: its ids are in every line, and its measurements leave at its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from chalicelib.contract.tracing import bound

if TYPE_CHECKING:
    from chalicelib.ports import Metrics, Tracer

Middleware = Callable[[Any, Callable[[Any], Any]], Any]


def around(metrics: Callable[[], Metrics], tracer: Callable[[], Tracer | None]) -> Middleware:
    """Chalice middleware for all kinds of events; without a tracer nothing is traced."""

    def handled(event: Any, handle: Callable[[Any], Any]) -> Any:
        context = getattr(event, "lambda_context", None) or getattr(event, "context", None)
        ids = {"function": "function_name", "function_request_id": "aws_request_id"}
        found = {name: getattr(context, attribute, None) for name, attribute in ids.items()}
        traced = tracer()
        with traced.invocation(str(found["function"])) if traced else nullcontext(), bound(**found):
            try:
                return handle(event)
            finally:
                metrics().flush()

    return handled
