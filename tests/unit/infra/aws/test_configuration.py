"""Chalice's configuration while Chalice runs: what is said there, of which stage and functions, and afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.aws.configuration import KEY_FINGERPRINT, TERMINAL_URL, functions_told
from infra.aws.finish import Network

TOLD = {TERMINAL_URL: "wss://terminals.example.com/ws/terminal", KEY_FINGERPRINT: "0123456789abcdef"}
NETWORK = Network(["subnet-1", "subnet-2"], ["sg-1"])
PLACE = {"subnet_ids": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
DEV = {"environment_variables": {"BERTH_STAGE": "dev"}}
PROD = {"lambda_functions": {"provision": {"reserved_concurrency": 150}, "sweep": {"reserved_concurrency": 1}}}
CONFIG = {"stages": {"dev": DEV, "prod": PROD}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


def stages(config: Path) -> Any:
    return json.loads(config.read_text())["stages"]


def test_what_functions_are_told_is_beside_all_else_of_the_stage_and_of_no_other(config: Path) -> None:
    with functions_told(config, "dev", TOLD):
        dev = {"environment_variables": {"BERTH_STAGE": "dev", **TOLD}}
        assert stages(config) == {"dev": dev, "prod": PROD}
    with functions_told(config, "prod", TOLD):
        assert stages(config) == {"dev": DEV, "prod": {**PROD, "environment_variables": TOLD}}


def test_functions_that_call_agents_are_in_the_network_and_keep_what_else_they_have(config: Path) -> None:
    with functions_told(config, "prod", {}, NETWORK):
        assert stages(config)["prod"]["lambda_functions"] == {
            "api_handler": PLACE,
            "provision": {"reserved_concurrency": 150, **PLACE},
            "sweep": {"reserved_concurrency": 1},
        }


def test_the_configuration_is_as_it_was_when_chalice_fails(config: Path) -> None:
    before = config.read_bytes()

    with pytest.raises(RuntimeError), functions_told(config, "dev", TOLD, NETWORK):
        raise RuntimeError

    assert config.read_bytes() == before


def test_what_a_deployer_has_written_stays_where_no_relays_are_ours(config: Path) -> None:
    config.write_text('{"stages": {"dev": {"environment_variables": {"BERTH_TERMINAL_URL": "wss://own.example"}}}}')

    with functions_told(config, "dev", {TERMINAL_URL: ""}):
        assert stages(config)["dev"] == {"environment_variables": {"BERTH_TERMINAL_URL": "wss://own.example"}}
