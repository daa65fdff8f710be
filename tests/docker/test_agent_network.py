"""The agent on a real engine: its network, should somebody take it away, is there again after a look."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from tests.aws import Aws
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, agent_on, holder_of, holders, inspected


@pytest.fixture
def own(engine: Engine, queues: Aws, tmp_path: Path) -> Iterator[RunningAgent]:
    with agent_on(engine, queues, tmp_path) as running:
        yield running


def networks(agent: RunningAgent) -> list[str]:
    with contextlib.closing(agent.engine.client()) as client:
        return [str(each.id) for each in client.networks.list(names=[f"berth-{agent.host_id}"])]


def vanish(agent: RunningAgent, network: str) -> None:
    """Somebody takes everything from the network and removes it, quicker than the agent puts it right."""
    os.kill(agent.child.pid, signal.SIGSTOP)
    try:
        with contextlib.closing(agent.engine.client()) as client:
            found = client.networks.get(network)
            for each in found.attrs["Containers"]:
                found.disconnect(each, force=True)
            found.remove()
    finally:
        os.kill(agent.child.pid, signal.SIGCONT)


def on_the_network(agent: RunningAgent, container_id: str) -> dict[str, Any]:
    """Whoever is on the network for a container: its holder, or itself where none was ready."""
    found = inspected(agent, container_id)
    shares = found["HostConfig"]["NetworkMode"].startswith("container:")
    return holder_of(agent, container_id) if shares else found


def joined(agent: RunningAgent, container_id: str) -> list[str]:
    """The networks that it has an address on."""
    found = on_the_network(agent, container_id)["NetworkSettings"]["Networks"].values()
    return [each["NetworkID"] for each in found if each["IPAddress"]]


def test_a_network_that_vanished_is_made_again_and_used_by_new_and_old_containers(own: RunningAgent) -> None:
    own.wait(lambda: len(holders(own)) == 4)  # both share one; the engine's own networks come back at a start alone
    old, running = a_spec(image=TINY), a_spec(image=TINY)
    for spec in (old, running):
        own.create(spec)
        own.until(spec.container_id, "ready")
    own.power(old, "stop")
    own.until(old.container_id, "stopped")
    [before] = networks(own)
    vanish(own, before)

    [after] = own.wait(lambda: networks(own))

    assert after != before
    new = a_spec(image=TINY)
    own.create(new)
    own.until(new.container_id, "ready")
    own.power(old, "start")
    own.until(old.container_id, "started")
    own.wait(lambda: own.inside(running.container_id, "ls /sys/class/net").split() != ["lo"])  # by whatever name
    for spec in (old, new, running):
        own.wait(lambda spec=spec: joined(own, spec.container_id) == [after])


def test_without_prepared_namespaces_a_container_is_on_the_network_itself(
    engine: Engine, queues: Aws, tmp_path: Path
) -> None:
    with agent_on(engine, queues, tmp_path, "--networks-ready", "0") as plain:
        spec = a_spec(image=TINY, name="plain")
        plain.create(spec)
        plain.until(spec.container_id, "ready")
        found = inspected(plain, spec.container_id)
        [network] = networks(plain)
        plain.power(spec, "stop")
        plain.until(spec.container_id, "stopped")
        vanish(plain, network)
        [again] = plain.wait(lambda: networks(plain))
        plain.power(spec, "start")
        plain.until(spec.container_id, "started")
        [joined] = inspected(plain, spec.container_id)["NetworkSettings"]["Networks"].values()

        assert holders(plain) == []
        assert (found["HostConfig"]["NetworkMode"], found["Config"]["Hostname"]) == (f"berth-{plain.host_id}", "plain")
        assert joined["NetworkID"] == again
