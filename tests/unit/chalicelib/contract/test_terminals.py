"""Terminal tickets are read by whoever has the control plane's key, while they are of now, and are nothing else."""

import time

import jwt
import pytest

from chalicelib.contract.agent_api import ExecUser
from chalicelib.contract.signatures import CONTROL_PLANE, BadSignature, new_private_key, public_key_of, sign_call
from chalicelib.contract.terminals import TICKET_SECONDS, Grant, read_ticket, relay_key, sign_ticket, unwrap, wrap

KEY = new_private_key()
GRANT = Grant(
    host_id="host-1",
    endpoint="http://10.0.0.1:7000",
    container_id="c1",
    user_id="u1",
    generation=1,
    user=ExecUser.ROOT,
    trace="t1",
)


def test_a_ticket_is_read_as_it_was_signed() -> None:
    ticket = read_ticket(sign_ticket(GRANT, KEY, "id-1", int(time.time())), public_key_of(KEY))

    assert (ticket.id, ticket.grant) == ("id-1", GRANT)


@pytest.mark.parametrize("age", [TICKET_SECONDS + 10, 3600])
def test_one_that_is_too_old_is_refused(age: int) -> None:
    with pytest.raises(BadSignature):
        read_ticket(sign_ticket(GRANT, KEY, "id-1", int(time.time()) - age), public_key_of(KEY))


def test_one_by_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        read_ticket(sign_ticket(GRANT, new_private_key(), "id-1", int(time.time())), public_key_of(KEY))


def test_a_call_is_no_ticket() -> None:
    call = sign_call(
        private_pem=KEY,
        host_id="berth-terminal",
        method="GET",
        path="/",
        body=b"",
        call_id="1",
        issued_at=int(time.time()),
    )

    with pytest.raises(BadSignature):
        read_ticket(call, public_key_of(KEY))


@pytest.mark.parametrize(
    "change", [{"exp": int(time.time()) + 3600}, {"grant": {"host_id": "h"}}, {"grant": "none"}, {"aud": "host-1"}]
)
def test_one_that_says_something_else_is_refused(change: dict[str, object]) -> None:
    now = int(time.time())
    claims = {
        "aud": "berth-terminal", "iss": CONTROL_PLANE, "iat": now, "exp": now + TICKET_SECONDS, "jti": "1",
        "grant": GRANT.model_dump(mode="json"),
    }  # fmt: skip

    with pytest.raises(BadSignature):
        read_ticket(jwt.encode(claims | change, KEY, algorithm="EdDSA"), public_key_of(KEY))


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(BadSignature):
        read_ticket("no ticket", public_key_of(KEY))


def test_what_users_carry_tells_nothing_of_the_host_and_relays_read_it() -> None:
    ticket = sign_ticket(GRANT, KEY, "id-1", int(time.time()))
    carried = wrap(ticket, relay_key(KEY))

    assert ticket not in carried
    assert GRANT.endpoint not in carried
    assert unwrap(carried, relay_key(KEY)) == ticket


@pytest.mark.parametrize(
    "carried",
    ["", "no ticket", "grüße", wrap("a", relay_key(new_private_key()))],
    ids=["none", "words", "no ASCII", "another's"],
)
def test_what_was_not_wrapped_for_this_relay_is_refused(carried: str) -> None:
    with pytest.raises(BadSignature):
        unwrap(carried, relay_key(KEY))
