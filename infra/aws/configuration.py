"""Chalice's configuration of a stage: what only AWS knows comes in, and stands there while Chalice runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.aws.finish import Network
from infra.aws.template import CALL_AGENTS, FUNCTIONS

TERMINAL_URL = "BERTH_TERMINAL_URL"


@contextmanager
def functions_told(config: Path, stage: str, url: str, network: Network | None = None) -> Iterator[None]:
    """Inside, functions are told where relays are, and are in the hosts' network; afterwards the file is as it was.

    Chalice takes away from functions, at every deployment, what its configuration does not say. With no url and no
    network it says what it said.
    """
    before = config.read_text()
    config.write_text(json.dumps(_told(json.loads(before), stage, url, network), indent=2))
    try:
        yield
    finally:
        config.write_text(before)


def _told(config: dict[str, Any], stage: str, url: str, network: Network | None) -> dict[str, Any]:
    of_stage = config["stages"][stage]
    if url:
        of_stage.setdefault("environment_variables", {})[TERMINAL_URL] = url
    if network is not None:
        place = {"subnet_ids": list(network.subnets), "security_group_ids": list(network.security_groups)}
        of_functions = of_stage.setdefault("lambda_functions", {})
        for name in CALL_AGENTS:
            of_functions[FUNCTIONS[name]] = of_functions.get(FUNCTIONS[name], {}) | place
    return config
