"""Lambda's outside: a function's name and an event come in, a worker process runs it, its outcome goes out.

Workers are processes that serve one invocation at a time, forked from a nursery that imported the app; one that
crashes or runs out of time is replaced. When the app's files change, a new nursery takes over.
"""

import array
import asyncio
import json
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.errors import AppBroken
from infra.local.processes import Child, python

ANSWER_LIMIT = 16 * 1024 * 1024
DEFAULT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` when the handler returned; else `error`, with `crashed` or `timed_out` where it never answered."""

    result: Any = None
    error: dict[str, str] | None = None
    crashed: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None and not self.crashed and not self.timed_out


@dataclass(slots=True, eq=False)
class _Worker:
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.writer.close()


@dataclass(slots=True)
class _Pool:
    """Workers of one function; `slots` bounds how many work at a time."""

    slots: asyncio.Semaphore
    idle: list[_Worker] = field(default_factory=list)
    all: set[_Worker] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """How functions run: workers at most, and seconds at most, by function name."""

    concurrency: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    default_concurrency: int = 4


class Functions:
    """The functions of one Chalice app."""

    def __init__(self, project: Path, environment: Mapping[str, str], logs: Path, settings: FunctionSettings) -> None:
        self._project = project
        self._environment = {**os.environ, **environment, "PYTHONPATH": _python_path()}
        self._logs = logs
        self._settings = settings
        self._nursery: _Nursery | None = None
        self._pools: dict[str, _Pool] = {}
        self._forking = asyncio.Lock()

    async def start(self) -> dict[str, Any]:
        """Import the app and say what it has (see `worker.describe`); AppBroken when it cannot be imported."""
        nursery = _Nursery(self._project, self._environment, self._logs)
        description = await nursery.describe()
        old, self._nursery = self._nursery, nursery
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            for worker in pool.idle:
                worker.writer.close()
        if old is not None:
            old.stop()
        return description

    async def invoke(self, name: str, event: Any) -> Outcome:
        """Run the function once; waits when all its workers are busy."""
        pool = self._pool(name)
        async with pool.slots:
            worker = await self._worker(name, pool)
            outcome = await self._run(worker, event, self._settings.seconds.get(name, DEFAULT_SECONDS))
            if outcome.crashed or outcome.timed_out:
                pool.all.discard(worker)
                worker.kill()
            elif self._pools.get(name) is pool:
                pool.idle.append(worker)
            else:
                worker.writer.close()
            return outcome

    def pids(self) -> dict[str, list[int]]:
        """The process ids of every function's workers."""
        return {name: sorted(worker.pid for worker in pool.all) for name, pool in self._pools.items()}

    def stop(self) -> None:
        """End every process."""
        for pool in self._pools.values():
            for worker in pool.all:
                worker.kill()
        self._pools.clear()
        if self._nursery is not None:
            self._nursery.stop()

    def _pool(self, name: str) -> _Pool:
        if name not in self._pools:
            workers = self._settings.concurrency.get(name, self._settings.default_concurrency)
            self._pools[name] = _Pool(asyncio.Semaphore(workers))
        return self._pools[name]

    async def _worker(self, name: str, pool: _Pool) -> _Worker:
        while pool.idle:
            worker = pool.idle.pop()
            if not worker.reader.at_eof():
                return worker
            pool.all.discard(worker)
        if self._nursery is None:
            raise AppBroken("the functions are not started")
        async with self._forking:
            worker = await self._nursery.fork(name)
        pool.all.add(worker)
        return worker

    @staticmethod
    async def _run(worker: _Worker, event: Any, seconds: float) -> Outcome:
        call = json.dumps({"event": event, "seconds": seconds}).encode() + b"\n"
        try:
            worker.writer.write(call)
            await worker.writer.drain()
            line = await asyncio.wait_for(worker.reader.readline(), seconds)
        except TimeoutError:
            return Outcome(timed_out=True)
        except (ConnectionError, ValueError):
            return Outcome(crashed=True)
        if not line:
            return Outcome(crashed=True)
        answer = json.loads(line)
        return Outcome(answer.get("result"), answer.get("error"))


class _Nursery:
    """The process that imported the app and forks workers."""

    def __init__(self, project: Path, environment: Mapping[str, str], logs: Path) -> None:
        self._socket, theirs = socket.socketpair()
        command = python("infra.local.worker", str(theirs.fileno()), str(project.resolve()))
        self._child = Child("functions", command, environment, logs / "functions.log", [theirs.fileno()])
        theirs.close()
        self._socket.setblocking(False)

    async def describe(self) -> dict[str, Any]:
        description = await self._read()
        if "error" in description:
            self.stop()
            raise AppBroken(f"the app cannot be imported: {description['error']}")
        return description

    async def fork(self, name: str) -> _Worker:
        ours, theirs = socket.socketpair()
        descriptor = array.array("i", [theirs.fileno()])
        self._socket.sendmsg([name.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)])
        theirs.close()
        answer = await self._read()
        reader, writer = await asyncio.open_connection(sock=ours, limit=ANSWER_LIMIT)
        return _Worker(answer["pid"], reader, writer)

    async def _read(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        received = b""
        while not received.endswith(b"\n"):
            chunk = await loop.sock_recv(self._socket, 65536)
            if not chunk:
                raise AppBroken("the process that imports the app has ended: read functions.log")
            received += chunk
        answer: dict[str, Any] = json.loads(received)
        return answer

    def stop(self) -> None:
        self._socket.close()
        self._child.stop(seconds=2)


def _python_path() -> str:
    """Workers find this package even when the app's project is elsewhere."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
