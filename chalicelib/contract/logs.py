"""Log lines of functions and agents: facts and ids come in, one line of JSON without secrets goes out.

Nothing is logged that is secret; that what looks like a secret is struck out all the same is the second line.
"""

import logging
import re
import sys
import threading
from types import TracebackType
from typing import Any, TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from chalicelib.contract.tracing import bound_ids

STRUCK = "[struck out]"

_SECRET_KEYS = frozenset(
    {
        "authorization",
        "body",
        "cookie",
        "environment",
        "headers",
        "idempotency_key",
        "labels",
        "password",
        "private_key",
        "query",
        "secret",
        "ticket",
        "token",
    }
)
_SECRET_TEXT = re.compile(
    r"\b(?:berth|ticket)_[0-9A-Za-z]{20,}"
    r"|\b(?:Bearer|Basic)\s+[^\s\"'\\]{8,}"
    r"|\bey[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^\"\\]|\\.)*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?=\"))",
    re.IGNORECASE,
)
"""In a line of JSON: what is struck out never reaches past the string it stands in."""


class Lines(LambdaPowertoolsFormatter):
    """Formats records as JSON, with the ids bound where they were made; `fields` are in every line."""

    def __init__(self, service: str, **fields: str) -> None:
        order = ["level", "message", "timestamp"]
        super().__init__(service=service, log_record_order=order, serialize_stacktrace=False)
        self._fields = fields

    def serialize(self, log: Any) -> str:
        """One line, struck of secrets by key and by form."""
        line: str = super().serialize(_struck({**self._fields, **bound_ids(), **log}))
        return _SECRET_TEXT.sub(STRUCK, line)


def _struck(value: Any, key: str = "") -> Any:
    """The same without what stands under a secret's name."""
    if key.lower() in _SECRET_KEYS and value:
        return STRUCK
    if isinstance(value, dict):
        return {name: _struck(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_struck(each) for each in value]
    return value


class _ErrorOutput(logging.StreamHandler[TextIO]):
    """To whatever is the error output when a line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_as_json(service: str, **fields: str) -> None:
    """Have every logger of the process write such lines: ours from INFO, libraries' from WARNING."""
    handler = _ErrorOutput()
    handler.setFormatter(Lines(service, **fields))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    ours = logging.getLogger("berth")
    ours.handlers[:] = []
    ours.setLevel(logging.INFO)
    ours.propagate = True
    logging.captureWarnings(capture=True)


def log_crashes() -> None:
    """Have exceptions that nobody caught, of any thread, end up as lines too; for processes of our own."""
    log = logging.getLogger("berth")

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("process broke", exc_info=(kind, error, trace))

    def of_thread(crash: threading.ExceptHookArgs) -> None:
        if crash.exc_value is not None:
            log.critical("thread broke", exc_info=(crash.exc_type, crash.exc_value, crash.exc_traceback))

    sys.excepthook = of_process
    threading.excepthook = of_thread
