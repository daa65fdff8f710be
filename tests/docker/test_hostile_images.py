"""Images that ask for more than a container gets: what they say of themselves changes nothing (reliability §4.5)."""

import contextlib
import io
import time
from collections.abc import Iterator

import pytest

from infra.ground.engine import Engine
from infra.ground.images import TINY
from infra.ground.registry import Registry
from infra.hostagent.profile import PAYLOAD
from infra.hostagent.seccomp import seccomp_option
from tests.builders import a_spec
from tests.docker.agents import RunningAgent, inspected

DOCKERFILE = f"""
FROM {TINY}
USER 65534
VOLUME /data
EXPOSE 80
ENTRYPOINT ["/bin/false"]
CMD ["nonsense"]
STOPSIGNAL SIGWINCH
WORKDIR /elsewhere
HEALTHCHECK --interval=1s CMD touch /checked
ENV LD_PRELOAD=/nowhere.so
LABEL berth.host=another berth.container=another berth.generation=99 berth.managed=false
"""


@pytest.fixture(scope="module")
def reference(engine: Engine, registry: Registry) -> str:
    """That image in a registry, not on the engine."""
    with contextlib.closing(engine.client()) as client:
        client.images.build(fileobj=io.BytesIO(DOCKERFILE.encode()), tag="berth-test/hostile:1", rm=True)
        held = registry.hold("berth-test/hostile:1", "berth-test/hostile:1")
        client.images.remove("berth-test/hostile:1")
    return held


@pytest.fixture(scope="module")
def hostile(agent: RunningAgent, reference: str) -> Iterator[str]:
    """The id of a running container of that image."""
    spec = a_spec(image=reference)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    yield spec.container_id
    agent.delete(spec)


def test_it_runs_what_we_run_as_whom_we_say(agent: RunningAgent, hostile: str) -> None:
    found = inspected(agent, hostile)

    assert found["Config"]["Entrypoint"] == PAYLOAD[:1]
    assert found["Config"]["Cmd"] == PAYLOAD[1:]
    assert found["Config"]["User"] == "0"
    assert found["Config"]["WorkingDir"] == "/"
    assert found["Config"]["StopSignal"] == "SIGTERM"
    assert found["State"]["Running"]


def test_nothing_of_it_is_run_by_the_engine(agent: RunningAgent, hostile: str) -> None:
    time.sleep(1.5)
    found = inspected(agent, hostile)

    assert found["Config"]["Healthcheck"]["Test"] == ["NONE"]
    assert "Health" not in found["State"]
    assert agent.inside(hostile, "ls -d /checked 2>/dev/null; pwd") == "/\n"


def test_its_labels_cannot_pass_it_off_as_another(agent: RunningAgent, hostile: str) -> None:
    labels = inspected(agent, hostile)["Config"]["Labels"]

    assert labels["berth.host"] == agent.host_id
    assert labels["berth.container"] == hostile
    assert labels["berth.generation"] == "1"
    assert labels["berth.managed"] == "true"


def test_its_ports_are_not_published_and_it_gets_no_more_than_the_profile(agent: RunningAgent, hostile: str) -> None:
    found = inspected(agent, hostile)

    assert not any(found["NetworkSettings"]["Ports"].values())
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true", seccomp_option()]
    assert sorted((mount["Type"], mount["Destination"], mount["RW"]) for mount in found["Mounts"]) == [
        ("bind", "/etc/hostname", False),
        ("bind", "/etc/hosts", False),
        ("bind", "/etc/resolv.conf", False),
        ("volume", "/data", True),
    ]


def test_its_volume_goes_with_it(agent: RunningAgent, engine: Engine, reference: str) -> None:
    spec = a_spec(image=reference)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    mounts = inspected(agent, spec.container_id)["Mounts"]
    [volume] = [mount["Name"] for mount in mounts if mount["Type"] == "volume"]

    agent.remove(spec)

    with contextlib.closing(engine.client()) as client:
        assert volume not in [each.name for each in client.volumes.list()]


def test_there_is_no_second_way_out_by_ipv6(agent: RunningAgent, hostile: str) -> None:
    addresses = agent.inside(hostile, "cat /proc/net/if_inet6 2>/dev/null | grep -v ' lo$'")

    assert addresses.strip() == ""
