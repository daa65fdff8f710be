"""A function in a process of its own: invocations come in as lines of JSON, what its handler says goes out the same.

Run as a script by the project's Python, with the function's code and layers on its path.
"""

import contextlib
import importlib
import io
import json
import os
import time
import traceback
from dataclasses import dataclass
from typing import IO, Any


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler about its invocation."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    function_name: str = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
    function_version: str = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "")
    memory_limit_in_mb: str = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    log_group_name: str = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
    log_stream_name: str = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.time()) * 1000))


def main() -> None:
    """Serve until the pipe is closed."""
    asked, answers = _own_pipes()
    try:
        module, _, name = os.environ["_HANDLER"].rpartition(".")
        handler = getattr(importlib.import_module(module.replace("/", ".")), name)
    except BaseException:  # noqa: BLE001 - told to whoever starts it
        _tell(answers, {"error": traceback.format_exc()})
        return
    _tell(answers, {"ready": True})
    for line in asked:
        _tell(answers, _invoke(handler, json.loads(line)))


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take the pipes away from the handler, whose prints would mix with answers."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return asked, answers


def _tell(answers: IO[bytes], what: dict[str, Any]) -> None:
    answers.write(json.dumps(what).encode() + b"\n")


def _invoke(handler: Any, asked: dict[str, Any]) -> dict[str, Any]:
    context = Context(asked["invoke-id"], asked["invoked-function-arn"], asked["deadline"])
    began, written, failed = time.time(), io.StringIO(), False
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        print(f"START RequestId: {context.aws_request_id} Version: {context.function_version}")  # noqa: T201
        try:
            payload = json.dumps(handler(json.loads(asked["payload"]), context))
        except BaseException as error:  # noqa: BLE001 - as Lambda's runtime does
            failed, payload = True, json.dumps(_error(error, context.aws_request_id))
            traceback.print_exc()
        took = f"{(time.time() - began) * 1000:.2f} ms"
        print(f"END RequestId: {context.aws_request_id}\nREPORT RequestId: {context.aws_request_id}\tDuration: {took}")  # noqa: T201
    return {"payload": payload, "failed": failed, "logs": written.getvalue()}


def _error(error: BaseException, request_id: str) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_exc().splitlines(),
    }


if __name__ == "__main__":
    main()
