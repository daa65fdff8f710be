"""Relays as `infra.aws.deploy` has them: what is asked for, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from infra.aws.bundle import Bundle
from infra.aws.deploy import parser, relay_wishes, relays, up_with_relays

URL = "wss://terminals.example.com/ws/terminal"
BUNDLE = Bundle("relay", b"relay")


@dataclass
class Stage:
    """A stage whose relays are at `url`, or are not."""

    url: str = ""
    added: list[tuple[Bundle, dict[str, str]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def terminals(self) -> SimpleNamespace:
        return SimpleNamespace(url=self.url)

    def add_relays(self, bundle: Bundle, wishes: Mapping[str, str]) -> dict[str, str]:
        self.added.append((bundle, dict(wishes)))
        self.url = f"wss://{wishes['DomainName']}/ws/terminal" if "DomainName" in wishes else self.url
        return {"TerminalUrl": self.url, "Balancer": "balancer.example"}

    def say(self, line: str) -> None:
        self.said.append(line)


def deploy(stage: Stage, *arguments: str) -> str:
    deployment: Any = stage
    return up_with_relays(deployment, parser().parse_args(["up", "--stage", "dev", *arguments]), lambda: BUNDLE)


def test_a_stage_has_no_relays_until_somebody_asks_for_them() -> None:
    stage = Stage()

    assert deploy(stage) == ""
    assert stage.added == []


def test_a_name_and_a_certificate_are_enough_for_relays() -> None:
    stage = Stage()

    looked_at = deploy(stage, "--terminals", "terminals.example.com", "--certificate", "arn:aws:acm:x")

    wishes = {"DomainName": "terminals.example.com", "CertificateArn": "arn:aws:acm:x", "MinRelays": "1"}
    assert stage.added == [(BUNDLE, wishes)]
    assert looked_at == "", "the name may not be known everywhere yet"
    assert stage.said[-1] == f"terminals  {URL}   (the name leads to balancer.example)"


def test_relays_that_are_there_are_updated_with_the_stage_and_looked_at() -> None:
    stage = Stage(URL)

    assert deploy(stage) == URL
    assert stage.added == [(BUNDLE, {})]


def test_a_new_name_is_not_looked_at_yet() -> None:
    assert deploy(Stage(URL), "--terminals", "other.example.com") == ""


def test_relays_alone_take_all_that_can_be_said_of_them() -> None:
    stage = Stage()
    options = {
        "terminals": "t.example.com", "certificate": "arn:aws:acm:x", "zone": "Z1", "origins": "https://a https://b",
        "api": "https://x/api", "bucket": "mine", "type": "c7i.large", "min": "3", "max": "9", "sessions": "yes",
    }  # fmt: skip
    given = [each for name, value in options.items() for each in (f"--{name}", value)]
    deployment: Any = stage

    relays(deployment, parser().parse_args(["relays", "--stage", "prod", *given]), lambda: BUNDLE)

    [(_bundle, wishes)] = stage.added
    assert sorted(wishes.values()) == sorted(options.values())


@pytest.mark.parametrize(("stage", "least"), [("dev", "1"), ("prod", "2")])
def test_production_begins_with_two_and_keeps_what_it_was_given(stage: str, least: str) -> None:
    parsed = parser().parse_args(["relays", "--stage", stage])

    assert relay_wishes(parsed, first=True) == {"MinRelays": least}
    assert relay_wishes(parsed, first=False) == {}
