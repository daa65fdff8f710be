"""The keys of a stage: made once, and anew when somebody says so."""

import hashlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.contract.signatures import public_key_of, public_keys
from chalicelib.contract.terminals import relay_key
from infra.aws.deploy import KEY_OPTIONS, parser
from infra.aws.deployment import Deployment, Pair
from infra.aws.errors import DeployError
from infra.aws.parameters import (
    ANNOUNCED_SECONDS,
    NEXT_PRIVATE_KEY,
    PRIVATE_KEY,
    PUBLIC_KEY,
    RELAY_KEY,
    StageParameters,
)


class NotFoundError(Exception):
    """There is no such parameter."""


class Ssm:
    """Parameters in memory; writing one named in `refused` fails."""

    exceptions = SimpleNamespace(ParameterNotFound=NotFoundError)

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, str]] = {}
        self.written: dict[str, datetime] = {}
        self.refused = ""

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:  # noqa: N803 - AWS' names
        if Name not in self.kept:
            raise NotFoundError
        return {"Parameter": {"Value": self.kept[Name][0], "LastModifiedDate": self.written[Name]}}

    def delete_parameter(self, Name: str) -> None:  # noqa: N803 - AWS' names
        del self.kept[Name]

    def put_parameter(self, Name: str, Value: str, Type: str, **how: Any) -> None:  # noqa: N803 - AWS' names
        assert how["Overwrite"] or Name not in self.kept
        if self.refused and Name.endswith(self.refused):
            raise RuntimeError
        self.kept[Name], self.written[Name] = (Value, Type), datetime.now(UTC)

    def has_waited(self, seconds: float) -> None:
        """So long ago was everything written."""
        for name in self.written:
            self.written[name] -= timedelta(seconds=seconds)


@pytest.fixture
def ssm() -> Ssm:
    return Ssm()


@pytest.fixture
def parameters(ssm: Ssm) -> StageParameters:
    return StageParameters(ssm, "berth-dev")


def test_keys_are_made_once(parameters: StageParameters, ssm: Ssm) -> None:
    public = parameters.ensure_keys()
    kept = dict(ssm.kept)

    assert parameters.ensure_keys() == public
    assert ssm.kept == kept


def test_new_keys_take_the_place_of_both_halves(parameters: StageParameters, ssm: Ssm) -> None:
    before = parameters.ensure_keys()

    after = parameters.new_keys()

    private, kind = ssm.kept["/berth-dev/control-private-key"]
    assert (after, kind) == (public_key_of(private), "SecureString")
    assert after != before
    assert parameters.get(PUBLIC_KEY) == after
    assert parameters.get(RELAY_KEY) is None, "there are no relays"


def test_relays_have_the_key_that_is_drawn_from_the_new_one(parameters: StageParameters, ssm: Ssm) -> None:
    parameters.ensure_keys()
    parameters.put_relay_key()

    parameters.new_keys()

    assert ssm.kept["/berth-dev/relay-key"] == (relay_key(str(parameters.get(PRIVATE_KEY))), "SecureString")


def test_a_stage_without_keys_has_them_made_by_either(parameters: StageParameters) -> None:
    assert parameters.new_keys() == parameters.get(PUBLIC_KEY)


def test_what_ended_between_the_halves_is_mended_by_the_next_deployment(parameters: StageParameters, ssm: Ssm) -> None:
    before = parameters.ensure_keys()
    ssm.refused = PUBLIC_KEY
    with pytest.raises(RuntimeError):
        parameters.new_keys()
    ssm.refused = ""

    after = parameters.ensure_keys()

    assert after != before
    assert after == public_key_of(str(parameters.get(PRIVATE_KEY))) == parameters.get(PUBLIC_KEY)


def test_a_fingerprint_is_what_sha256sum_says_of_a_hosts_file_and_of_no_secret(parameters: StageParameters) -> None:
    assert parameters.fingerprint == ""

    public = parameters.ensure_keys()

    assert hashlib.sha256(public.encode()).hexdigest().startswith(parameters.fingerprint)
    assert len(parameters.fingerprint) == 16
    had = parameters.fingerprint
    parameters.new_keys()
    assert parameters.fingerprint != had


def test_announced_keys_stand_behind_those_in_use_and_sign_nothing(parameters: StageParameters, ssm: Ssm) -> None:
    before, private = parameters.ensure_keys(), parameters.get(PRIVATE_KEY)

    both = parameters.announce_keys()

    following, kind = ssm.kept["/berth-dev/next-control-private-key"]
    assert (both, kind) == (before + public_key_of(following), "SecureString")
    assert parameters.get(PUBLIC_KEY) == both == parameters.ensure_keys() == parameters.announce_keys()
    assert parameters.get(PRIVATE_KEY) == private


def test_announced_keys_are_used_once_hosts_have_read_them_and_the_old_ones_stay_for_a_while(
    parameters: StageParameters, ssm: Ssm
) -> None:
    with pytest.raises(DeployError, match="--next-keys"):
        parameters.use_announced_keys()
    before, both = parameters.ensure_keys(), parameters.announce_keys()
    parameters.put_relay_key()
    with pytest.raises(DeployError, match=r"for 7\d\d s more"):
        parameters.use_announced_keys()
    assert parameters.get(PUBLIC_KEY) == both
    ssm.has_waited(ANNOUNCED_SECONDS)

    used = parameters.use_announced_keys()

    private = str(parameters.get(PRIVATE_KEY))
    assert used == parameters.get(PUBLIC_KEY) == public_key_of(private) + before
    assert public_keys(both) == public_keys(used)[::-1]
    assert parameters.get(RELAY_KEY) == relay_key(private)
    assert parameters.get(NEXT_PRIVATE_KEY) is None
    assert parameters.ensure_keys() == parameters.get(PUBLIC_KEY) == public_key_of(private)


@pytest.mark.parametrize("refused", [PUBLIC_KEY, PRIVATE_KEY])
def test_what_ended_while_announced_keys_were_taken_is_done_by_the_next_attempt(
    parameters: StageParameters, ssm: Ssm, refused: str
) -> None:
    before, both = parameters.ensure_keys(), parameters.announce_keys()
    ssm.has_waited(ANNOUNCED_SECONDS)
    ssm.refused = f"/{refused}"
    with pytest.raises(RuntimeError):
        parameters.use_announced_keys()
    ssm.refused = ""
    assert sorted(public_keys(str(parameters.get(PUBLIC_KEY)))) == sorted(public_keys(both))

    assert parameters.use_announced_keys().endswith(before)


def test_new_keys_leave_neither_old_nor_announced_ones(parameters: StageParameters) -> None:
    parameters.announce_keys()

    assert parameters.new_keys() == public_key_of(str(parameters.get(PRIVATE_KEY))) == parameters.get(PUBLIC_KEY)
    assert parameters.get(NEXT_PRIVATE_KEY) is None


@pytest.mark.parametrize("asked", [[], ["--new-keys"], ["--next-keys"]])
def test_a_pipelines_keys_are_new_when_asked_and_the_private_half_is_said_to_nobody(
    parameters: StageParameters, ssm: Ssm, asked: list[str]
) -> None:
    before, said = parameters.ensure_keys(), list[str]()
    deployment = Deployment(SimpleNamespace(client=lambda _service: ssm), "dev", say=said.append)
    parsed = parser().parse_args(["keys", "--stage", "dev", *asked])

    parsed.work(deployment, parsed)

    after = parameters.get(PUBLIC_KEY)
    assert (after != before) == bool(asked)
    assert said[-2:] == [f"fingerprint {parameters.fingerprint}", after]
    assert "PRIVATE" not in "\n".join(said)


def test_a_deployment_has_new_keys_only_when_asked() -> None:
    for options, pair in (([], Pair.KEPT), *(([option], pair) for option, pair, _ in KEY_OPTIONS)):
        assert parser().parse_args(["up", "--stage", "dev", *options]).pair is pair
