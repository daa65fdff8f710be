"""Ends and beats of lifecycle actions, which moto does not know: a host's calls come in, and are remembered."""

import contextlib
from collections.abc import Iterator
from urllib.parse import parse_qs

from tests.fakes.stub import Stub, stub_server

_ANSWER = (
    b'<Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">'
    b"<CompleteLifecycleActionResult/><RecordLifecycleActionHeartbeatResult/></Response>"
)
"""Of either action: who asked looks for its own."""

Call = dict[str, str]
"""Parameters of one call, `Action` among them."""


@contextlib.contextmanager
def autoscaling_service() -> Iterator[Stub]:
    with stub_server() as server:
        server.status, server.body = 200, _ANSWER
        yield server


def calls_of(service: Stub) -> list[Call]:
    """Those so far."""
    forms = [parse_qs(body.decode()) for *_, body in service.seen]
    return [{name: values[0] for name, values in form.items()} for form in forms]
