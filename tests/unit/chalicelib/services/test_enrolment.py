"""Hosts that enrol themselves: who SQS says they are, and nobody else."""

import json

import pytest
from pydantic import ValidationError

from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.domain.errors import NotFound, UntrustedEvent
from chalicelib.services.enrolment import Enrolments
from tests.fakes.world import World

ROLE = "AROAEXAMPLEEXAMPLE123"
HOST = "i-0123456789abcdef0"
KEY = public_key_of(new_private_key())
BODY = json.dumps({"public_key": KEY})


def enrolments(world: World, role: str = ROLE) -> Enrolments:
    return Enrolments(world.hosts, role)


def test_an_instance_of_the_fleet_is_known_by_its_own_id() -> None:
    world = World()

    enrolments(world).enrol(f"{ROLE}:{HOST}", BODY)

    assert world.hosts.get(HOST).public_key == KEY


@pytest.mark.parametrize(
    "sender",
    [
        "",
        HOST,
        f"AROAANOTHERANOTHER123:{HOST}",
        f"{ROLE}:somebody",
        f"{ROLE}:host-1",
        f"{ROLE}:{HOST}:more",
        f"{ROLE}:{HOST}\n",
        f":{HOST}",
    ],
)
def test_who_is_no_instance_of_the_fleet_is_refused(sender: str) -> None:
    world = World()

    with pytest.raises(UntrustedEvent):
        enrolments(world).enrol(sender, BODY)

    with pytest.raises(NotFound):
        world.hosts.get(HOST)


def test_without_a_fleet_nobody_enrols_himself() -> None:
    with pytest.raises(UntrustedEvent):
        enrolments(World(), role="").enrol(f":{HOST}", BODY)


@pytest.mark.parametrize("key", ["", "no key", new_private_key()])
def test_what_is_no_public_key_is_refused(key: str) -> None:
    with pytest.raises(UntrustedEvent):
        enrolments(World()).enrol(f"{ROLE}:{HOST}", json.dumps({"public_key": key}))


def test_a_body_that_cannot_be_read_goes_to_the_dead_letters() -> None:
    with pytest.raises(ValidationError):
        enrolments(World()).enrol(f"{ROLE}:{HOST}", '{"host_id": "i-1"}')
