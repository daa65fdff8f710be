"""Around every invocation, whatever started it: its ids come in and are in every line written until it is over."""

from collections.abc import Callable
from typing import Any

from chalicelib.contract.tracing import bound


def around(event: Any, handle: Callable[[Any], Any]) -> Any:
    """Chalice middleware for all kinds of events."""
    context = getattr(event, "lambda_context", None) or getattr(event, "context", None)
    ids = {"function": "function_name", "function_request_id": "aws_request_id"}
    with bound(**{name: getattr(context, attribute, None) for name, attribute in ids.items()}):
        return handle(event)
