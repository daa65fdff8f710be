"""An agent as a real process, and what a control plane does with it: signed calls in, verified events out."""

import contextlib
import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chalicelib.contract.agent_api import (
    ContainerSpec,
    FileCall,
    Filed,
    FileDeed,
    Held,
    PowerCall,
    Removal,
    ResizeCall,
    UsageCall,
    Verb,
)
from chalicelib.contract.events import AboutContainer, Batch, Heartbeat, Inventory
from chalicelib.contract.resources import Resources
from chalicelib.contract.signatures import parse_envelope, public_key_of, sign_call, unseal
from infra.ground.engine import MIRROR, Engine
from infra.ground.images import TINY
from infra.ground.ports import unclaimed_port
from infra.hostagent.engine.docker_namespaces import LABEL_HOLDER
from infra.hostagent.keys import host_key
from infra.local.processes import Child
from tests.aws import ROOT, Aws
from tests.builders import a_spec
from tests.fakes.world import CONTROL_KEY
from tests.inside import run_in
from tests.pace import SLOWNESS

PATIENCE_SECONDS = 40 * SLOWNESS
START_SECONDS = 60 * SLOWNESS
"""Nothing is promised of how fast an agent's program loads on a machine that does other work."""
DIE_AT = "BERTH_TEST_DIE_AT"
LOOPBACK_PORTS = (5000, 5001, 5002, 5003, 5999)


@dataclass
class RunningAgent:
    """One agent process on an engine."""

    engine: Engine
    aws: Aws
    data: Path
    options: tuple[str, ...] = ()
    patience: float = PATIENCE_SECONDS
    host_id: str = field(default_factory=lambda: f"h{uuid.uuid4().hex[:6]}")
    events: list[AboutContainer] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    inventories: list[Inventory] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = unclaimed_port()
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "control.pub").write_text(public_key_of(CONTROL_KEY))
        self.queue_url = self.aws.queue_url("events")
        self.sqs = self.aws.client("sqs")
        self.child = self.start()

    def start(self, die_at: str = "") -> Child:
        """A new process over the same journal; with `die_at` one that kills itself there (`doomed_agent`)."""
        program = "tests.docker.doomed_agent" if die_at else "infra.hostagent"
        namespace = ["--engine-netns", self.engine.netns] if self.engine.netns else []
        command = [
            sys.executable, "-m", program, "serve", "--host-id", self.host_id,
            "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data), "--engine", self.engine.url, *namespace,
            "--engine-root", self.engine.root,
            "--control-key", str(self.data / "control.pub"), "--events-queue-url", self.queue_url, "--dev",
            "--registry-mirror", MIRROR, *_trusted(),
            "--remove-on-stop", "--look-seconds", "1", "--heartbeat-seconds", "1", *self.options,
        ]  # fmt: skip
        environment = os.environ | {"AWS_ENDPOINT_URL": self.aws.endpoint, "PYTHONPATH": str(ROOT), DIE_AT: die_at}
        self.child = Child(self.host_id, command, environment, self.data / "agent.log")
        self._await_listening()
        return self.child

    def _await_listening(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self.child.exit_code is None:
            if self.health() is not None:
                return
            time.sleep(0.05)
        raise AssertionError(self.last_words())

    def health(self) -> httpx.Response | None:
        """What it says of itself; None while it does not answer."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/v1/health", trust_env=False)
        return None

    def stop(self) -> None:
        self.child.stop(20)

    def public_key(self) -> str:
        """What its events are checked with."""
        return public_key_of(host_key(self.data))

    def last_words(self) -> str:
        """The end of its log."""
        return (self.data / "agent.log").read_text()[-2000:]

    def call(self, verb: str, where: str, content: bytes = b"", **changes: Any) -> httpx.Response:
        """One call, signed for this host unless the changes say otherwise."""
        claims: dict[str, Any] = {
            "private_pem": CONTROL_KEY,
            "host_id": self.host_id,
            "method": verb,
            "path": where,
            "body": content,
            "call_id": uuid.uuid4().hex,
            "issued_at": int(time.time()),
        }
        token = sign_call(**(claims | changes))
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.port}{where}"
        return httpx.request(verb, url, content=content, headers=headers, timeout=30 * SLOWNESS, trust_env=False)

    def create(self, spec: ContainerSpec) -> httpx.Response:
        return self.call("PUT", f"/v1/containers/{spec.container_id}", spec.model_dump_json().encode())

    def delete(self, spec: ContainerSpec, generation: int | None = None) -> httpx.Response:
        removal = Removal(
            container_id=spec.container_id, user_id=spec.user_id, generation=generation or spec.generation
        )
        return self.call("DELETE", f"/v1/containers/{spec.container_id}", removal.model_dump_json().encode())

    def remove(self, spec: ContainerSpec) -> None:
        """Delete it, and return when it is told as removed."""
        self.delete(spec)
        self.until(spec.container_id, "removed")

    def power(self, spec: ContainerSpec, verb: str, action: str = "") -> httpx.Response:
        call = PowerCall(
            container_id=spec.container_id,
            user_id=spec.user_id,
            generation=spec.generation,
            verb=Verb(verb),
            action=action or uuid.uuid4().hex,
        )
        return self.call("POST", f"/v1/containers/{spec.container_id}/power", call.model_dump_json().encode())

    def resize(self, spec: ContainerSpec, resources: Resources, action: str = "") -> httpx.Response:
        call = ResizeCall(
            container_id=spec.container_id,
            user_id=spec.user_id,
            generation=spec.generation,
            resources=resources,
            action=action or uuid.uuid4().hex,
        )
        return self.call("POST", f"/v1/containers/{spec.container_id}/resize", call.model_dump_json().encode())

    def run(self, spec: ContainerSpec, *command: str, **changes: Any) -> httpx.Response:
        """Whatever it is: what no control plane would send is the agent's to refuse."""
        values: dict[str, Any] = {"timeout_seconds": 20, "command": list(command)}
        ids = {"container_id": spec.container_id, "user_id": spec.user_id, "generation": spec.generation}
        call = json.dumps(ids | values | changes)
        return self.call("POST", f"/v1/containers/{spec.container_id}/exec", call.encode())

    def file(self, spec: ContainerSpec, deed: FileDeed, path: str, content: bytes = b"", **changes: Any) -> Filed:
        """What the host answers to a call about a file."""
        values: dict[str, Any] = {"timeout_seconds": 20, "deed": deed, "path": path, "content": content}
        ids = {"container_id": spec.container_id, "user_id": spec.user_id, "generation": spec.generation}
        call = FileCall(**(ids | values | changes))
        answer = self.call("POST", f"/v1/containers/{spec.container_id}/files", call.model_dump_json().encode())
        assert answer.status_code == 200, answer.text
        return Filed.model_validate_json(answer.content)

    def usage(self, spec: ContainerSpec) -> httpx.Response:
        call = UsageCall(container_id=spec.container_id, user_id=spec.user_id, generation=spec.generation)
        return self.call("POST", f"/v1/containers/{spec.container_id}/stats", call.model_dump_json().encode())

    def poll(self) -> None:
        """Take what is in the queue, and check who signed it."""
        key = self.public_key()
        while True:
            found = self.sqs.receive_message(QueueUrl=self.queue_url).get("Messages")
            if not found:
                return
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=found[0]["ReceiptHandle"])
            envelope = parse_envelope(found[0]["Body"])
            if envelope.signer != self.host_id:
                continue
            event = unseal(envelope, key)
            if isinstance(event, Heartbeat):
                self.heartbeats.append(event)
            elif isinstance(event, Inventory):
                self.inventories.append(event)
            else:
                told: list[Any] = list(event.events) if isinstance(event, Batch) else [event]
                self.events += [each for each in told if each not in self.events]

    def unsent(self) -> int:
        """Events that its journal still holds."""
        with contextlib.closing(sqlite3.connect(self.data / "journal.sqlite")) as journal:
            return int(journal.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def held(self, container_id: str) -> list[Held]:
        """What its inventories so far say of a container."""
        return [held for each in self.inventories for held in each.containers if held.container_id == container_id]

    def about(self, container_id: str) -> list[Any]:
        """Its events so far, each once."""
        return [event for event in self.events if event.container_id == container_id]

    def ready(self, image: str = TINY, **wanted: Any) -> ContainerSpec:
        """A new container that is ready."""
        spec = a_spec(image=image, **wanted)
        self.create(spec)
        self.until(spec.container_id, "ready")
        return spec

    def until(self, container_id: str, kind: str, seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """Its events up to one of this kind."""
        return list(self.wait(lambda: self._with(container_id, kind), seconds))

    def _with(self, container_id: str, kind: str) -> list[Any] | None:
        found = self.about(container_id)
        return found if kind in [event.kind for event in found] else None

    def wait(self, found: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """What the function finds, once it finds something."""
        ends = time.monotonic() + max(seconds, self.patience)
        while time.monotonic() < ends:
            self.poll()
            result = found()
            if result:
                return result
            time.sleep(0.05)
        raise AssertionError(f"waited in vain; the agent says: {self.last_words()}")

    def containers(self, container_id: str = "") -> list[Any]:
        """Engine containers of this host, or of one container."""
        wanted = f"berth.host={self.host_id}"
        with contextlib.closing(self.engine.client()) as client:
            found = client.containers.list(all=True, ignore_removed=True, filters={"label": wanted})
        return [each for each in found if each.name.startswith(f"berth-{container_id}")]

    def inside(self, container_id: str, command: str, user: str = "0") -> str:
        """The output of a command run in the container."""
        [container] = self.containers(container_id)
        return run_in(container.client.api, container.id, ["sh", "-c", command], user).output.decode()


def _trusted() -> list[str]:
    """The registries of tests are on the engine's own loopback."""
    return [word for port in LOOPBACK_PORTS for word in ("--trusted-registry", f"127.0.0.1:{port}")]


def numbers(events: list[Any]) -> list[int]:
    return [event.number for event in events]


def inspected(agent: RunningAgent, container_id: str) -> dict[str, Any]:
    [container] = agent.containers(container_id)
    return dict(json.loads(json.dumps(container.attrs)))


def holders(agent: RunningAgent) -> list[dict[str, Any]]:
    """The containers that hold network namespaces for this host's, as inspected."""
    wanted = f"{LABEL_HOLDER}={agent.host_id}"
    with contextlib.closing(agent.engine.client()) as client:
        found = client.containers.list(all=True, ignore_removed=True, filters={"label": wanted})
        return [dict(each.attrs) for each in found]


def holder_of(agent: RunningAgent, container_id: str) -> dict[str, Any]:
    """The one whose namespace a container shares."""
    mode = inspected(agent, container_id)["HostConfig"]["NetworkMode"]
    [found] = [each for each in holders(agent) if mode == f"container:{each['Id']}"]
    return found


@contextlib.contextmanager
def agent_on(engine: Engine, aws: Aws, data: Path, *options: str) -> Iterator[RunningAgent]:
    agent = RunningAgent(engine, aws, data, options)
    try:
        yield agent
    finally:
        agent.stop()
