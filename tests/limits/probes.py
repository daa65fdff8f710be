"""Hostile programs and what must come of them: a program goes into a container of a real agent, a verdict comes out.

A probe is one function of a `Ground`; `@probe(row, name)` lists it. Rows are those of reliability §4.4.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import Resources
from tests.builders import a_spec
from tests.docker.agents import RunningAgent
from tests.inside import run_in
from tests.pace import SLOWNESS

WATCHDOG_SECONDS = 30 * SLOWNESS
"""No program of a probe runs longer; what it leaves behind goes with its container."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a program inside has said and how it ended."""

    output: str
    exit_code: int

    @property
    def words(self) -> list[str]:
        return self.output.split()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the wall held, and what was seen in a few words for the table."""

    held: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Ground:
    """A container that a probe may do anything in."""

    agent: RunningAgent
    spec: ContainerSpec

    @property
    def container(self) -> Any:
        """As the engine's client has it, for a look from outside."""
        [found] = self.agent.containers(self.spec.container_id)
        return found

    def run(self, program: str, user: str = "0", seconds: int = WATCHDOG_SECONDS) -> Seen:
        """Run a shell program inside, under the watchdog; output and errors in one."""
        command = ["timeout", "-k", "2", str(seconds), "sh", "-c", program]
        return self._seen(command, user)

    def spawn(self, program: str, user: str = "0") -> None:
        """Have it run inside while we look from outside."""
        self.container.exec_run(
            ["timeout", "-k", "2", str(WATCHDOG_SECONDS), "sh", "-c", program], user=user, detach=True
        )

    def perl(self, program: str, *options: str, seconds: int = WATCHDOG_SECONDS) -> Seen:
        """Run a Perl program inside, under the watchdog."""
        command = ["timeout", "-k", "2", str(seconds), "perl", *options, "-e", program]
        return self._seen(command, "0")

    def _seen(self, command: list[str], user: str) -> Seen:
        container = self.container
        done = run_in(container.client.api, container.id, command, user)
        return Seen(done.output.decode(errors="replace"), done.exit_code)

    def spawn_perl(self, program: str, *options: str) -> None:
        """Have it run inside while we look from outside."""
        command = ["timeout", "-k", "2", str(WATCHDOG_SECONDS), "perl", *options, "-e", program]
        self.container.exec_run(command, detach=True)

    def filled(self, path: str, megabytes: int) -> int:
        """Write so much there, or as much as fits; the megabytes that are there then."""
        self.run(f"dd if=/dev/zero of={path} bs=1M count={megabytes}")
        return int(self.run(f"du -m {path} | cut -f1").words[-1])

    def processes(self) -> int:
        """How many there are inside, by its control group of either version."""
        pid = self.container.attrs["State"]["Pid"]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "pids" not in controllers.split(","):
                continue
            file = Path("/sys/fs/cgroup") / ("pids" if controllers else "") / path.lstrip("/") / "pids.current"
            if file.exists():
                return int(file.read_text())
        raise LookupError("pids.current")

    def answers(self) -> bool:
        """Whether a new process can be started inside."""
        return self.run("echo here", seconds=5 * SLOWNESS).words[-1:] == ["here"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One attempt; `attempt` may also raise, which is no verdict but a broken probe."""

    row: int
    name: str
    attempt: Callable[[Ground], Verdict]
    resources: Resources

    def __str__(self) -> str:
        return f"{self.row}-{self.name.replace(' ', '-')}"


SMALL = Resources(memory_mb=256, cpu_shares=1000, disk_mb=256)


def probe(
    row: int, name: str, into: list[Probe], resources: Resources = SMALL
) -> Callable[[Callable[[Ground], Verdict]], Callable[[Ground], Verdict]]:
    """List a function as a probe."""

    def listed(attempt: Callable[[Ground], Verdict]) -> Callable[[Ground], Verdict]:
        into.append(Probe(row, name, attempt, resources))
        return attempt

    return listed


@contextmanager
def ground_on(agent: RunningAgent, image: str, resources: Resources = SMALL, **changes: Any) -> Iterator[Ground]:
    """A container made by the agent, and gone at the end, whatever was done in it."""
    spec = a_spec(image=image, resources=resources, **changes)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    try:
        yield Ground(agent, spec)
    finally:
        agent.remove(spec)
