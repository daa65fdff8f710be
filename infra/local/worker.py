"""Lambda's inside: events come in over a socket, a handler of the Chalice app runs, its result or error goes out.

`python -m infra.local.worker FD PROJECT` is the nursery: it imports the app once and forks a process for every worker
asked for, which then serves one invocation at a time, as Lambda does. A worker ends when its socket does.
"""

import array
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import time
import traceback
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.calls import record_from_here

_SOCKET_ROUTES = {
    "websocket_connect": "$connect",
    "websocket_message": "$default",
    "websocket_disconnect": "$disconnect",
}

FD_SIZE = array.array("i").itemsize


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler is given as Lambda's context."""

    function_name: str
    aws_request_id: str
    deadline: float
    memory_limit_in_mb: str = "512"
    function_version: str = "$LATEST"

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:local:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is cut off."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def nurse(control: socket.socket, project: str) -> None:
    """Import the app, describe it, then fork a worker for every socket received."""
    sys.path.insert(0, project)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        app = importlib.import_module("app").app
        _load_whole(Path(project) / "chalicelib")
    except Exception as error:  # noqa: BLE001 - whatever an app raises at import is told
        _send(control, {"error": _one_line(error)})
        return
    _send(control, describe(app))
    while True:
        name, descriptor = _receive_socket(control)
        if descriptor is None:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _serve_and_exit(app, name, socket.socket(fileno=descriptor))
        os.close(descriptor)
        _send(control, {"pid": pid})


def _load_whole(package: Path) -> None:
    """Import all that the app ships, which its functions may import late: what is loaded here, all forks share."""
    for module in pkgutil.walk_packages([str(package)], f"{package.name}."):
        importlib.import_module(module.name)


def describe(app: Any) -> dict[str, Any]:
    """Routes, queue sources, schedules and whether there are sockets: all the gateway needs to know."""
    sources = [type(each).__name__ for each in app.event_sources]
    return {
        "name": app.app_name,
        "routes": {path: sorted(methods) for path, methods in app.routes.items()},
        "cors": sorted(path for path, methods in app.routes.items() if any(e.cors for e in methods.values())),
        "binary": list(app.api.binary_types),
        "queues": [_queue(each) for each in app.event_sources if type(each).__name__ == "SQSEventConfig"],
        "schedules": [
            {"function": each.name, "expression": _expression(each)}
            for each, kind in zip(app.event_sources, sources, strict=True)
            if kind == "ScheduledEventConfig"
        ],
        "sockets": sorted(app.websocket_handlers),
    }


def _queue(source: Any) -> dict[str, Any]:
    name = source.queue or source.queue_arn.rpartition(":")[2]
    return {"function": source.name, "queue": name, "batch_size": source.batch_size}


def _expression(source: Any) -> str:
    expression = source.schedule_expression
    return expression if isinstance(expression, str) else expression.to_string()


def _serve_and_exit(app: Any, name: str, link: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    record_from_here(name)
    code = 0
    try:
        serve(app, name, link)
    except BaseException:  # noqa: BLE001 - the fork ends here in any case
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def serve(app: Any, name: str, link: socket.socket) -> None:
    """Answer invocations of one function until the other side hangs up."""
    with link, link.makefile("rwb") as stream:
        for line in stream:
            call = json.loads(line)
            stream.write(json.dumps(invoke(app, name, call)).encode() + b"\n")
            stream.flush()


def invoke(app: Any, name: str, call: dict[str, Any]) -> dict[str, Any]:
    """`result` of the handler, or `error` with type, message and trace as Lambda reports them."""
    handler = _handler(app, name)
    context = Context(name, str(uuid.uuid4()), time.monotonic() + call["seconds"])
    try:
        return {"result": json.loads(json.dumps(handler(call["event"], context), default=str))}
    except Exception as error:  # noqa: BLE001 - an invocation that failed, as Lambda reports it
        _report(context, error)
        return {"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}


def _handler(app: Any, name: str) -> Any:
    """A handler by the name that Chalice deploys its function under."""
    if name == "api_handler":
        return app
    route = _SOCKET_ROUTES.get(name)
    return app.handler_map[app.websocket_handlers[route].name if route else name]


def _report(context: Context, error: Exception) -> None:
    """What Lambda itself writes of an error that a handler let go, when its log format is JSON."""
    line = {
        "level": "ERROR",
        "service": "lambda",
        "function": context.function_name,
        "function_request_id": context.aws_request_id,
        "message": _one_line(error),
        "stack": traceback.format_exception(error)[-3:],
    }
    sys.stderr.write(json.dumps(line) + "\n")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _send(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def _receive_socket(control: socket.socket) -> tuple[str, int | None]:
    """A function's name and the socket to serve it on; None when the other side has hung up."""
    name, ancillary, _, _ = control.recvmsg(256, socket.CMSG_SPACE(FD_SIZE))
    if not name:
        return "", None
    descriptors = array.array("i")
    descriptors.frombytes(ancillary[0][2][:FD_SIZE])
    return name.decode(), descriptors[0]


if __name__ == "__main__":
    nurse(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
