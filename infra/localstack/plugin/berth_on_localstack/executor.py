"""Lambda without containers: a function's version comes in, each of its environments is a child process.

Code and layers are on the path of the project's own Python; there is no memory limit and no wall round it.
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

ADDRESS = "127.0.0.1"
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
PYTHON = "BERTH_LAMBDA_PYTHON"
"""Variable of LocalStack's environment with the interpreter that functions run in."""


class ChildExecutorPlugin(RuntimeExecutorPlugin):
    name = "child"

    def load(self, *_args: Any, **_kwargs: Any) -> "type[ChildExecutor]":
        return ChildExecutor


class _Function:
    """A function's process; lines go in and out."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process: Any = subprocess.Popen(
            [os.environ[PYTHON], "-u", str(BOOTSTRAP)],
            cwd=environment["LAMBDA_TASK_ROOT"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        hello = self._line() or {"error": "the function's process ended at once"}
        if "error" in hello:
            self.end()
            raise RuntimeError(hello["error"])

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, payload: dict[str, str], seconds: int) -> dict[str, Any] | None:
        """The handler's answer, or None when the process has ended or had to be."""
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            asked = {**payload, "deadline": time.time() + seconds}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            return self._line()
        except BrokenPipeError:
            return None
        finally:
            timer.cancel()

    def _line(self) -> dict[str, Any] | None:
        line = self._process.stdout.readline()
        return json.loads(line) if line else None


class ChildExecutor(RuntimeExecutor):
    """One environment of a function."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002 - LocalStack's name
        super().__init__(id, function_version)
        self._one_at_a_time = threading.Lock()
        self._environment: dict[str, str] = {}
        self._function: _Function | None = None

    def start(self, env_vars: dict[str, str]) -> None:
        """Import the handler, or a RuntimeError with what it says."""
        code = self.function_version.config.code.get_unzipped_code_location()
        path = [str(code), *(folder for each in self._layers() for folder in self._packages(each))]
        self._environment = {name: str(value) for name, value in env_vars.items()} | {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "TZ": "UTC",
        }
        self._function = _Function(self._environment)

    def stop(self) -> None:
        if self._function is not None:
            self._function.end()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run the handler once; a process that ends or takes too long is replaced at the next invocation."""
        with self._one_at_a_time:
            if self._function is None or self._function.has_ended:
                self._function = _Function(self._environment)
            began = time.monotonic()
            answer = self._function.ask(payload, self.function_version.config.timeout)
        if answer is None:
            return self._unanswered(payload["invoke-id"], time.monotonic() - began)
        return InvocationResult(payload["invoke-id"], answer["payload"].encode(), answer["failed"], logs=answer["logs"])

    def _unanswered(self, request_id: str, seconds: float) -> InvocationResult:
        most = self.function_version.config.timeout
        told = f"Task timed out after {most}.00 seconds" if seconds >= most else "Error: Runtime exited"
        self.stop()
        message = f"RequestId: {request_id} {told}"
        return InvocationResult(request_id, json.dumps({"errorMessage": message}).encode(), True, logs=message)

    def _layers(self) -> list[Any]:
        return list(self.function_version.config.layers)

    def _packages(self, layer: Any) -> list[str]:
        """Where Lambda looks in a layer; Chalice puts packages into the second."""
        python = f"{layer.code.get_unzipped_code_location()}/python"
        return [python, f"{python}/lib/{self.function_version.config.runtime}/site-packages"]

    def get_address(self) -> str:
        return ADDRESS

    def get_endpoint_from_executor(self) -> str:
        return ADDRESS

    def get_runtime_endpoint(self) -> str:
        """Nobody calls it: answers come by the pipe."""
        return f"http://{ADDRESS}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def get_logs(self) -> str:
        """They come with every answer."""
        return ""

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack code and layers."""
        function_version.config.code.prepare_for_execution()
        for layer in function_version.config.layers:
            layer.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """LocalStack removes the code itself; its folder goes with the data folder."""
