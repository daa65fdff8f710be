"""Between new keys and who has not read them yet: what is refused, what comes again, what is as it was.

`docs/operations.md` says the same to operators.
"""

import time
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from starlette.requests import Request

from chalicelib.adapters.agent_http import HttpAgents
from chalicelib.adapters.system import SystemClock, SystemIds
from chalicelib.contract.agent_api import ExecCall, Removal
from chalicelib.contract.signatures import (
    CONTROL_PLANE,
    BadSignature,
    new_private_key,
    parse_envelope,
    public_key_of,
    seal,
)
from chalicelib.contract.statuses import Status
from chalicelib.contract.terminals import Grant, relay_key, sign_ticket, wrap
from chalicelib.domain.errors import AgentUnreachable, HostSilent, RetryLater, Unauthorized, UntrustedEvent
from chalicelib.domain.request import SUPPORTED_DEADLINE
from chalicelib.services.attended import Attended
from chalicelib.services.keyring import Keyring
from chalicelib.services.provisioning import BACKOFF_SECONDS
from chalicelib.services.terminals import Signing
from infra.hostagent.guard import Guard
from infra.relay.api import Keys
from infra.relay.refusals import Refused
from tests.fakes.world import CONTROL_KEY, World
from tests.unit.chalicelib.services.steps import accepted, again, ready, running

NEW_KEY = new_private_key()


class Host:
    """An agent's door: it lets in what is signed with a key that it has read."""

    def __init__(self) -> None:
        self.knows(CONTROL_KEY)

    def knows(self, *private_keys: str) -> None:
        self.guard = Guard("host-1", lambda: "".join(map(public_key_of, private_keys)))

    def agents(self, private_key: str) -> HttpAgents:
        """The control plane's calls to it, signed with this."""
        client = httpx.Client(transport=httpx.MockTransport(self._answer))
        return HttpAgents(client, private_key, SystemClock(), SystemIds())

    def _answer(self, call: httpx.Request) -> httpx.Response:
        headers = [(name.lower(), value) for name, value in call.headers.raw]
        scope = {"type": "http", "method": call.method, "path": call.url.path, "query_string": b"", "headers": headers}
        try:
            self.guard.check(Request(scope), call.content)
        except BadSignature:
            return httpx.Response(401, json={"error": "unauthorized"})
        return httpx.Response(202, json={})


def test_a_creation_waits_on_the_host_it_has_until_that_has_the_new_key() -> None:
    world, host = World(), Host()
    provisioning = replace(world.provisioning, agents=host.agents(NEW_KEY))
    container = accepted(world)
    waits = []

    for attempt in range(1, 5):
        with pytest.raises(RetryLater) as later:
            provisioning.carry_out(world.commands.messages[-1], attempt)
        waits.append(later.value.seconds)
    placed = again(world, container)
    host.knows(NEW_KEY)
    provisioning.carry_out(world.commands.messages[-1], 5)

    assert (placed.status, placed.host_id) == (Status.CREATING, "host-1")
    assert again(world, container).host_id == "host-1"
    assert waits == list(BACKOFF_SECONDS[:4])


def test_a_command_is_tried_for_longer_than_a_creation_has_and_never_more_than_half_a_minute_apart() -> None:
    most_deliveries = 10  # stack.json
    waits = [BACKOFF_SECONDS[min(each, len(BACKOFF_SECONDS)) - 1] for each in range(1, most_deliveries)]

    assert timedelta(seconds=sum(waits)) > SUPPORTED_DEADLINE
    assert max(waits) == 32


def test_what_somebody_waits_for_is_answered_with_host_silent() -> None:
    world, host = World(), Host()
    container = running(world)
    attended = Attended(world.lifecycle, world.hosts, lambda: host.agents(NEW_KEY))
    call = ExecCall(
        container_id=container.id, user_id=container.user_id, generation=container.generation,
        command=["true"], timeout_seconds=1,
    )  # fmt: skip

    with pytest.raises(HostSilent):
        attended.ask(container, lambda runner, on: runner.run(on, call), "the command may have run")


def test_what_runs_is_told_of_as_before_and_what_the_old_key_says_is_dropped() -> None:
    world = World()
    container = running(world)
    keyring = Keyring(world.hosts, public_key_of(NEW_KEY))
    status = replace(world.status, keyring=keyring)

    with pytest.raises(UntrustedEvent):
        status.record(seal(ready(container), CONTROL_PLANE, CONTROL_KEY))
    world.status = status
    world.from_host(ready(container, 2))


def _ticket(private_key: str) -> str:
    grant = Grant(host_id="host-1", endpoint="http://h", container_id="c", user_id="u", generation=1)
    return wrap(sign_ticket(grant, private_key, "id-1", int(time.time())), relay_key(private_key))


def test_a_terminal_of_the_old_key_is_over_at_the_next_look_of_its_relay() -> None:
    world = World()
    terminals = replace(world.terminals, signing=Signing(lambda: NEW_KEY, world.clock, world.ids))

    with pytest.raises(Unauthorized):
        terminals.holder(_ticket(CONTROL_KEY))


@pytest.mark.parametrize(
    ("known", "used"),
    [
        ((CONTROL_KEY, NEW_KEY), CONTROL_KEY),
        ((CONTROL_KEY, NEW_KEY), NEW_KEY),
        ((NEW_KEY, CONTROL_KEY), CONTROL_KEY),
        ((NEW_KEY,), NEW_KEY),
    ],
    ids=["announced", "used, and hosts read it earlier", "used, and functions run that do not yet", "after it"],
)
def test_while_keys_are_announced_and_used_nothing_is_refused(known: tuple[str, ...], used: str) -> None:
    world, host = World(), Host()
    container = running(world)
    host.knows(*known)

    host.agents(used).delete(world.hosts.get("host-1"), Removal(container_id=container.id, user_id="u", generation=1))

    keyring = Keyring(world.hosts, "".join(map(public_key_of, known)))
    said = parse_envelope(seal(ready(container), CONTROL_PLANE, used))
    assert keyring.open(said) == ready(container)


def test_of_several_keys_none_makes_another_right() -> None:
    host = Host()
    host.knows(NEW_KEY, new_private_key())

    with pytest.raises(AgentUnreachable):
        host.agents(CONTROL_KEY).delete(
            World().hosts.get("host-1"), Removal(container_id="c", user_id="u", generation=1)
        )


def test_relays_and_hosts_take_tickets_of_the_key_they_have_and_of_no_other() -> None:
    old = Keys(public_key_of(CONTROL_KEY), relay_key(CONTROL_KEY))
    new = Keys(public_key_of(NEW_KEY), relay_key(NEW_KEY))

    for keys, private_key in ((old, NEW_KEY), (new, CONTROL_KEY)):
        with pytest.raises(Refused) as refusal:
            keys.read_of_client(_ticket(private_key), "c")
        assert refusal.value.status == 401
    ticket = new.read_of_client(_ticket(NEW_KEY), "c").ticket
    host = Host()
    with pytest.raises(BadSignature):
        host.guard.admit({"authorization": f"Bearer {ticket}"}, "c")
    host.knows(NEW_KEY)
    host.guard.admit({"authorization": f"Bearer {ticket}"}, "c")
