"""Time and threads of a whole simulated world in one thread: tasks come in, each runs when its moment has come.

Tasks are greenlets that give way at every `pause`. The moments, and who is first of several at the same moment, come
from one random generator: the same seed is the same run. A task belongs to a process; when that is killed, its tasks
end at once with `Killed`, which nothing in shipped code catches, and no door lets them do anything more.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The task's process is dead."""


@dataclass(eq=False)
class Process:
    """What dies as one: a function's invocation, a host's agent, the machinery of the world."""

    name: str
    alive: bool = True
    tasks: "list[Task]" = field(default_factory=list)


class Task:
    """One thread of a process."""

    def __init__(self, scheduler: "Scheduler", process: Process, name: str, work: Callable[[], Any]) -> None:
        self.process = process
        self.name = name
        self.done = False
        self.answer: Any = None
        self.error: BaseException | None = None
        self.token = 0
        self.waiting: list[Task] = []
        self._scheduler = scheduler
        self._work = work
        self.greenlet = greenlet(self._run, scheduler.hub)

    def _run(self) -> None:
        try:
            self._scheduler.check(self)
            self.answer = self._work()
        except Killed as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - whoever waits for the task decides
            self.error = error
        self.done = True
        self.process.tasks.remove(self)
        for other in self.waiting:
            self._scheduler.wake(other)


class Scheduler:
    """Runs tasks in the order of their moments; `now` is in seconds."""

    def __init__(self, seed: int, start: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.now = start
        self.hub = getcurrent()
        self.current: Task | None = None
        self.resumed = 0
        self._heap: list[tuple[float, float, int, int, Task | Callable[[], None]]] = []
        self._count = 0

    def spawn(self, process: Process, name: str, work: Callable[[], Any], after: float = 0.0) -> Task:
        """A new task, first run so many seconds from now."""
        task = Task(self, process, name, work)
        process.tasks.append(task)
        self._push(self.now + after, task, 0)
        return task

    def call_at(self, moment: float, work: Callable[[], None]) -> None:
        """Have something done by the world itself; it must not pause."""
        self._push(moment, work, 0)

    def _push(self, at: float, what: "Task | Callable[[], None]", token: int) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self.random.random(), self._count, token, what))

    def wake(self, task: Task) -> None:
        """Have a pausing task go on now."""
        if not task.done:
            task.token += 1
            self._push(self.now, task, task.token)

    def pause(self, seconds: float) -> None:
        """Let the others run for so long (for ever, with infinity, until somebody wakes the task)."""
        task = self.task
        task.token += 1
        if seconds != float("inf"):
            self._push(self.now + seconds, task, task.token)
        self.hub.switch()
        self.check(task)

    @property
    def task(self) -> Task:
        """The task that runs now."""
        assert self.current is not None, "only a task can do this"
        return self.current

    def check(self, task: Task | None = None) -> None:
        """Killed when the running task's process is dead."""
        task = task or self.task
        if not task.process.alive:
            raise Killed(task.process.name)

    def kill(self, process: Process) -> None:
        """End a process with all its tasks, the running one included (which has to see to it itself)."""
        process.alive = False
        for task in list(process.tasks):
            if task is not self.current:
                self.wake(task)

    def join(self, task: Task, seconds: float = float("inf")) -> bool:
        """Wait for another task; false when it took longer."""
        ends = self.now + seconds
        while not task.done and self.now < ends:
            task.waiting.append(self.task)
            self.pause(ends - self.now)
        return task.done

    def run_until(self, moment: float) -> None:
        """Run everything whose moment comes before this one."""
        while self._heap and self._heap[0][0] <= moment:
            at, _, _, token, what = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if isinstance(what, Task):
                if not what.done and what.token == token:
                    self._resume(what)
            else:
                what()
        self.now = max(self.now, moment)

    def _resume(self, task: Task) -> None:
        self.resumed += 1
        self.current = task
        task.greenlet.switch()
        self.current = None

    def end(self, processes: list[Process]) -> None:
        """Unwind every task, so that nothing is left in memory."""
        for process in processes:
            process.alive = False
        for process in processes:
            for task in list(process.tasks):
                self._resume(task)


class SimFlag:
    """`runtime.Flag` of tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: list[Task] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._scheduler.wake(task)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        scheduler.check()
        ends = scheduler.now + (float("inf") if timeout is None else timeout)
        while not self._set and scheduler.now < ends:
            self._waiting.append(scheduler.task)
            scheduler.pause(ends - scheduler.now)
        return self._set


class SimSemaphore:
    """`threading.Semaphore` (and, with one place, `Lock`) of tasks."""

    def __init__(self, scheduler: Scheduler, places: int) -> None:
        self._scheduler = scheduler
        self._places = places
        self._waiting: list[Task] = []

    def __enter__(self) -> None:
        if self._scheduler.current is None:
            return
        self._scheduler.check()
        while self._places == 0:
            self._waiting.append(self._scheduler.task)
            self._scheduler.pause(float("inf"))
        self._places -= 1

    def __exit__(self, *_: object) -> None:
        if self._scheduler.current is None:
            return
        self._places += 1
        if self._waiting:
            self._scheduler.wake(self._waiting.pop(0))


class SimRuntime:
    """`infra.hostagent.runtime.Runtime` of one simulated agent process."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process

    def time(self) -> float:
        return self._scheduler.now

    def monotonic(self) -> float:
        return self._scheduler.now

    def token(self) -> str:
        """By the moment: one process makes one thing at a time."""
        return f"{int(self._scheduler.now * 1e6):012x}"

    def lock(self) -> SimSemaphore:
        return SimSemaphore(self._scheduler, 1)

    def semaphore(self, count: int) -> SimSemaphore:
        return SimSemaphore(self._scheduler, count)

    def flag(self) -> SimFlag:
        return SimFlag(self._scheduler)

    def spawn(self, work: Callable[[], None]) -> None:
        if self._process.alive:
            self._scheduler.spawn(self._process, f"{self._process.name}/work", work)

    def close(self, seconds: float) -> None:
        ends = self._scheduler.now + seconds
        for task in [each for each in self._process.tasks if each is not self._scheduler.current]:
            self._scheduler.join(task, ends - self._scheduler.now)
