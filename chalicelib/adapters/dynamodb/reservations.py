"""Room on hosts: a container and a host come in, the conditional writes that hold or free its room go out."""

from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.domain.container import Container
from chalicelib.domain.errors import HostFull
from chalicelib.domain.host import LEASE, Host

_AMOUNTS = ("memory_mb", "cpu_shares", "disk_mb")


def hold(table: str, container: Container, host: Host, at: datetime) -> dict[str, Any]:
    """Hold the room, if the host still takes containers: the room reported less what is wanted may be held before."""
    offer, wanted = host.report, container.resources
    if offer is None:
        raise HostFull(host.id)
    room = {f":room_{name}": getattr(offer, name) - getattr(wanted, name) for name in _AMOUNTS}
    fits = " AND ".join(f"reserved_{name} <= :room_{name}" for name in _AMOUNTS)
    add = ", ".join(f"reserved_{name} :{name}" for name in _AMOUNTS)
    return Row(table, {"host_id": host.id}).update(
        f"ADD {add}, reserved_containers :one",
        f"{fits} AND reserved_containers < :most AND placeable = :true AND received_at >= :oldest "
        "AND (attribute_not_exists(draining) OR draining = :false)",
        {
            **room,
            **{f":{name}": getattr(wanted, name) for name in _AMOUNTS},
            ":one": 1,
            ":most": offer.max_containers,
            ":true": True,
            ":false": False,
            ":oldest": at - LEASE,
        },
    )


def free(table: str, container: Container, host_id: str) -> dict[str, Any]:
    """Free the room it held."""
    less = ", ".join(f"reserved_{name} :{name}" for name in _AMOUNTS)
    return Row(table, {"host_id": host_id}).update(
        f"ADD {less}, reserved_containers :one",
        "attribute_exists(host_id)",
        {**{f":{name}": -getattr(container.resources, name) for name in _AMOUNTS}, ":one": -1},
    )
