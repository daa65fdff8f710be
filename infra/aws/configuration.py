"""Chalice's configuration of a stage: what only AWS knows comes in, and stands there while Chalice runs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.aws.finish import Network
from infra.aws.template import CALL_AGENTS, FUNCTIONS

TERMINAL_URL = "BERTH_TERMINAL_URL"
KEY_FINGERPRINT = "BERTH_CONTROL_KEY_FINGERPRINT"
"""Nobody reads it: functions keep the private key while their process lives, and Lambda replaces the processes of a
function whose environment is another."""


@contextmanager
def functions_told(config: Path, stage: str, told: Mapping[str, str], network: Network | None = None) -> Iterator[None]:
    """Inside, functions are told this by their environment, and are in the hosts' network; then the file is as it was.

    Chalice takes away from functions, at every deployment, what its configuration does not say. What is empty is not
    told: there the configuration says what it said.
    """
    before = config.read_text()
    config.write_text(json.dumps(_told(json.loads(before), stage, told, network), indent=2))
    try:
        yield
    finally:
        config.write_text(before)


def _told(config: dict[str, Any], stage: str, told: Mapping[str, str], network: Network | None) -> dict[str, Any]:
    of_stage = config["stages"][stage]
    for name, value in told.items():
        if value:
            of_stage.setdefault("environment_variables", {})[name] = value
    if network is not None:
        place = {"subnet_ids": list(network.subnets), "security_group_ids": list(network.security_groups)}
        of_functions = of_stage.setdefault("lambda_functions", {})
        for name in CALL_AGENTS:
            of_functions[FUNCTIONS[name]] = of_functions.get(FUNCTIONS[name], {}) | place
    return config
