"""Around every invocation, whatever started it: its ids are in every line, and its measurements leave at its end."""

from collections.abc import Callable
from typing import Any

from chalicelib.contract.tracing import bound
from chalicelib.ports import Metrics

Middleware = Callable[[Any, Callable[[Any], Any]], Any]


def around(metrics: Callable[[], Metrics]) -> Middleware:
    """Chalice middleware for all kinds of events."""

    def handled(event: Any, handle: Callable[[Any], Any]) -> Any:
        context = getattr(event, "lambda_context", None) or getattr(event, "context", None)
        ids = {"function": "function_name", "function_request_id": "aws_request_id"}
        with bound(**{name: getattr(context, attribute, None) for name, attribute in ids.items()}):
            try:
                return handle(event)
            finally:
                metrics().flush()

    return handled
