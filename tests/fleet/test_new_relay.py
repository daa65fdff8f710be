"""A machine that booted with the relays' user data is one of them: nobody's, and it goes without a word lost."""

import json
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from chalicelib.contract.terminals import Grant, sign_ticket, wrap
from infra.aws.parameters import RELAY_KEY
from tests.engines import say
from tests.fakes.world import CONTROL_KEY
from tests.fleet.agent import Outside, outside_agent
from tests.fleet.debian import Debian
from tests.fleet.instances import Booted, Change, Plan, booted
from tests.fleet.machine import outside
from tests.fleet.stage import Stage

PORT = 8443
UNITS = ("berth-relay.service", "berth-relay-leave.service")
CONTAINER = str(uuid.uuid4())
ORIGIN = "https://console.example.com"
PATIENCE_SECONDS = 60

BY_PLAIN_HTTP: Change = (
    "find /etc/apt -name '*.list' -o -name '*.sources' | xargs -r sed -i 's,http://,https://,g'",
    "true",
)
"""Debian's archive may have a mirror in front of it that has no name of its own to show."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Outside]:
    with outside_agent() as running:
        yield running


@pytest.fixture(scope="module")
def relay(debian: Debian, stage: Stage, agent: Outside) -> Iterator[Booted]:
    api: Change = ("BERTH_API=https://api.example.com/api", f"BERTH_API={outside(agent.api_url)}")
    with booted(debian, stage.aws, stage.relay(), Plan(PORT, [BY_PLAIN_HTTP, api]), say) as done:
        yield done


def ticket(stage: Stage, agent: Outside) -> str:
    """As the API gives them out."""
    grant = Grant(
        host_id="h1",
        endpoint=outside(agent.url),
        container_id=CONTAINER,
        user_id="u1",
        generation=1,
    )
    key = stage.deployment.parameters.get(RELAY_KEY)
    assert key
    return wrap(sign_ticket(grant, CONTROL_KEY, uuid.uuid4().hex, int(time.time())), key)


@contextmanager
def opened(relay: Booted, credential: str, origin: str | None = None) -> Iterator[ClientConnection]:
    """A terminal past the relay; its certificate is its own, which the load balancer does not ask about either."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    address = f"wss://127.0.0.1:{relay.machine.port}/ws/terminal/{CONTAINER}?ticket={credential}"
    headers = {"Origin": origin} if origin else {}
    with connect(
        address, ssl=trusting, additional_headers=headers, proxy=None, open_timeout=PATIENCE_SECONDS
    ) as socket:
        greeting = [json.loads(socket.recv(timeout=PATIENCE_SECONDS))["type"] for _ in range(2)]
        assert greeting == ["connected", "container_status"]
        yield socket


def test_the_group_is_told_that_it_is_ready(relay: Booted) -> None:
    [call] = relay.calls

    assert (call["Action"], call["LifecycleActionResult"]) == ("CompleteLifecycleAction", "CONTINUE")
    assert (call["LifecycleHookName"], call["AutoScalingGroupName"]) == ("launching", "berth-dev-relays")
    assert call["InstanceId"] == relay.instance


def test_every_unit_runs_and_none_failed(relay: Booted) -> None:
    assert relay.machine.ask(f"systemctl is-active {' '.join(UNITS)}").split() == ["active"] * len(UNITS)
    assert relay.machine.ask(f"systemctl is-enabled {' '.join(UNITS)}").split() == ["enabled"] * len(UNITS)
    assert relay.machine.ask("systemctl --failed --plain --no-legend") == ""


def test_it_says_how_it_is_by_tls(relay: Booted) -> None:
    health = httpx.get(f"https://127.0.0.1:{relay.machine.port}/health", verify=False, trust_env=False, timeout=30)  # noqa: S501

    assert health.json() == {"status": "ok", "connections": 0}


def test_the_relay_is_nobody_and_its_keys_are_roots(relay: Booted) -> None:
    pid = relay.machine.ask("systemctl show -P MainPID berth-relay.service")
    status = relay.machine.ask(f"cat /proc/{pid}/status")
    said = relay.machine.ask("systemd-analyze security --no-pager berth-relay.service")

    user = int(status.split("Uid:")[1].split()[0])
    assert 61184 <= user <= 65519, "a user made for it"
    assert "CapBnd:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    assert float(said.rsplit("level for berth-relay.service:", 1)[1].split()[0]) < 2.0
    assert relay.machine.ask("stat -c '%a %U' /etc/berth/keys /etc/berth/keys/relay.key").splitlines() == [
        "700 root",
        "600 root",
    ]


def test_the_relay_cannot_ask_for_the_machines_credentials_and_the_machine_can(relay: Booted) -> None:
    """From within its own control group, where systemd's filter is."""
    group = relay.machine.ask("systemctl show -P ControlGroup berth-relay.service")
    ask = "curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://169.254.169.254/latest/"

    assert relay.machine.run(ask).output.startswith("401")
    inside = relay.machine.run(f"sh -c 'echo $$ > /sys/fs/cgroup{group}/cgroup.procs; {ask}'")
    assert inside.output.startswith("000")
    assert inside.exit_code != 0


def test_a_terminal_goes_past_it_to_the_agent(relay: Booted, stage: Stage, agent: Outside) -> None:
    with opened(relay, ticket(stage, agent), ORIGIN) as socket:
        socket.send("typed")
        assert socket.recv(timeout=PATIENCE_SECONDS) == "typed"

    assert agent.asked[-1].startswith(f"/v1/containers/{CONTAINER}/terminal")


def test_who_has_no_ticket_or_comes_from_another_page_stays_outside(
    relay: Booted, stage: Stage, agent: Outside
) -> None:
    before = len(agent.asked)

    for credential, origin, status in (
        ("nonsense", None, 401),
        (ticket(stage, agent), "https://elsewhere.example.com", 403),
    ):
        with pytest.raises(InvalidStatus) as refused, opened(relay, credential, origin):
            pass
        assert refused.value.response.status_code == status
    assert len(agent.asked) == before


def test_a_relay_that_is_killed_comes_back(relay: Booted, stage: Stage, agent: Outside) -> None:
    pid = relay.machine.ask("systemctl show -P MainPID berth-relay.service")

    relay.machine.ask(f"kill -9 {pid}")
    relay.machine.ask("for i in $(seq 60); do curl -fsk https://127.0.0.1:8443/health && exit; sleep 1; done; exit 1")

    with opened(relay, ticket(stage, agent)) as socket:
        socket.send("typed")
        assert socket.recv(timeout=PATIENCE_SECONDS) == "typed"


def test_a_machine_that_is_to_go_sends_its_clients_to_the_others(relay: Booted, stage: Stage, agent: Outside) -> None:
    with opened(relay, ticket(stage, agent)) as socket:
        relay.want_gone()

        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE_SECONDS)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert relay.machine.run("systemctl is-active berth-relay.service").output.strip() == "inactive"
