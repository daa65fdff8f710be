"""A container started: its engine id and spec come in; it runs within its limits, in its namespace, by its name."""

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.network.networks import Networks
from infra.hostagent.ports import Engine
from infra.hostagent.quotas.disk import Disk


def start(engine: Engine, disk: Disk, networks: Networks, engine_id: str, spec: ContainerSpec) -> None:
    """Nothing runs before its limit is in force. NotThere, EngineRefused or EngineDown; it may be repeated."""
    with disk.limited(engine_id, spec.resources.disk_mb):
        networks.start(engine, engine_id, spec)
