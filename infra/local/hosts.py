"""Hosts of the local cloud: what a host needs comes in, its agent runs and is started again whenever it ends."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from docker.errors import DockerException

from infra.ground.engine import MIRROR, Engine
from infra.local.errors import NotReady
from infra.local.processes import Child, python
from infra.local.wires import Wire

ADDRESS = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.1
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
STEADY_SECONDS = 10.0
"""An agent that ran for this long is started again at once."""
DISK_OVERCOMMIT = 10
"""A laptop's free disk is a few containers' worth of promises, and nearly nothing of it is written (ADR 0027)."""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What one host is made of."""

    host_id: str
    engine: Engine
    port: int
    data: Path
    """Folder of the agent's key and journal."""
    log: Path
    control_key: Path
    moto_port: int
    queue_url: str
    environment: Mapping[str, str]
    """What makes an AWS client talk to the local cloud."""
    options: tuple[str, ...] = ()
    keeps: bool = False
    """Whether its containers run on when its agent is stopped in order; they go with the host."""
    wired: bool = False
    """Whether calls to it, and its calls to AWS, go over wires that a test may cut."""


@dataclass(slots=True)
class LocalHost:
    """One running host."""

    plan: HostPlan
    calls: Wire | None = None
    """Between the control plane and the agent."""
    aws: Wire | None = None
    """Between the agent and the queues."""
    wanted: bool = True
    """False while it is lost: its agent is not started again."""
    _agent: Child | None = None
    _work: "list[asyncio.Task[None]]" = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.plan.host_id

    @property
    def engine(self) -> Engine:
        return self.plan.engine

    @property
    def url(self) -> str:
        """Where the control plane calls its agent."""
        return f"http://{ADDRESS}:{self.calls.port if self.calls else self.plan.port}"

    @property
    def pid(self) -> int | None:
        """Its agent's process, while one runs."""
        return self._agent.pid if self._agent is not None and self._agent.exit_code is None else None

    async def start(self, ready: Callable[[], bool]) -> None:
        """Run the agent and return when it is `ready`; NotReady with the agent's own reason."""
        if self.plan.wired:
            self.calls, self.aws = Wire(self.plan.port), Wire(self.plan.moto_port)
            await self.calls.start()
            await self.aws.start()
        self._agent = self._started()
        await self._ready(ready)

    def keep(self, say: Callable[[str], None]) -> None:
        """From now on, start an agent again that ends."""
        self._work.append(asyncio.create_task(self._keep(say)))

    def kill(self) -> None:
        """End its agent at once, as a crash would."""
        if self._agent is not None:
            self._agent.kill()

    def lose(self) -> None:
        """End its agent at once, for good."""
        self.wanted = False
        self.kill()

    def come_back(self) -> None:
        """Have the agent of a lost host started again."""
        self.wanted = True

    async def stop(self) -> None:
        """End it in order; nothing of it remains."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        for wire in (self.calls, self.aws):
            if wire is not None:
                wire.mend()
        if self._agent is not None:
            await asyncio.to_thread(self._agent.stop, STOP_SECONDS)
        if self.plan.keeps:
            await asyncio.to_thread(self._clear)
        for wire in (self.calls, self.aws):
            if wire is not None:
                await wire.stop()

    def _clear(self) -> None:
        """Leave nothing of this host on its engine, as far as that answers."""
        with contextlib.closing(self.engine.client()) as client, contextlib.suppress(DockerException, OSError):
            for container in client.containers.list(
                all=True, ignore_removed=True, filters={"label": f"berth.host={self.id}"}
            ):
                container.remove(force=True)
            for network in client.networks.list(names=[f"berth-{self.id}"]):
                network.remove()

    async def _keep(self, say: Callable[[str], None]) -> None:
        pause, began = FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.pid is not None or not self.wanted:
                continue
            steady = time.monotonic() - began > STEADY_SECONDS
            pause = FIRST_PAUSE_SECONDS if steady else min(pause * 2, LONGEST_PAUSE_SECONDS)
            say(f"the agent of {self.id} has ended; starting it again")
            await asyncio.sleep(pause)
            self._agent, began = self._started(), time.monotonic()

    def _started(self) -> Child:
        plan, netns = self.plan, self.engine.netns
        queue_url, environment = plan.queue_url, dict(plan.environment)
        if self.aws is not None:
            ours, wire = f":{plan.moto_port}", f":{self.aws.port}"
            queue_url = queue_url.replace(ours, wire)
            environment["AWS_ENDPOINT_URL"] = environment["AWS_ENDPOINT_URL"].replace(ours, wire)
        command = python(
            "infra.hostagent", "serve", "--host-id", self.id, "--listen", f"{ADDRESS}:{plan.port}",
            "--endpoint", self.url, "--data", str(plan.data), "--engine", self.engine.url,
            *(["--engine-netns", netns] if netns else []), "--engine-root", self.engine.root,
            "--control-key", str(plan.control_key),
            "--events-queue-url", queue_url, "--dev", *_registries(self.engine),
            "--disk-overcommit", str(DISK_OVERCOMMIT), *([] if plan.keeps else ["--remove-on-stop"]), *plan.options,
        )  # fmt: skip
        return Child(self.id, command, {**os.environ, **environment, "PYTHONPATH": str(PROJECT)}, plan.log)

    async def _ready(self, ready: Callable[[], bool]) -> None:
        ends = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < ends and self.pid is not None:
                with contextlib.suppress(httpx.HTTPError):
                    await client.get(f"{self.url}/v1/health")
                    if await asyncio.to_thread(ready):
                        return
                await asyncio.sleep(0.05)
        raise NotReady(f"{self.id} did not start: {self._why_not()}")

    def _why_not(self) -> str:
        """In the agent's words, where it said any to people; otherwise its last ones, and where more are."""
        lines = self.plan.log.read_text().splitlines()
        said = next((line for line in reversed(lines) if line.startswith("error:")), None)
        if said is None:
            said = f"read {self.plan.log}, which ends: {lines[-1] if lines else ''}"
        silent = self.pid is not None
        return f"not heard of in {READY_SECONDS:.0f} s, {said}" if silent else said


def _registries(engine: Engine) -> list[str]:
    """A private engine may have a mirror beside it, and tests their registries; others cannot be seen from here."""
    if engine.owned:
        return ["--registry-mirror", MIRROR, "--trusted-registry", MIRROR.removeprefix("http://")]
    return [] if sys.platform == "linux" else ["--direct-pulls"]


def new_key(data: Path) -> Path:
    """A host that begins anew: no journal, and the file with the public half of its key, for enrolment."""
    for leftover in data.glob("journal.sqlite*"):
        leftover.unlink()
    command = python("infra.hostagent", "keygen", "--data", str(data))
    key = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    public = data / "host-key.pub"
    public.write_text(key)
    return public
