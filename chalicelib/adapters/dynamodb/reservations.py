"""Room on hosts: a container and a host come in, the conditional writes that hold or free its room go out."""

from datetime import datetime
from typing import Any

from chalicelib.adapters.dynamodb.writes import Row
from chalicelib.contract.resources import Resources
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


def change(table: str, host_id: str, before: Resources, after: Resources, offer: Host | None) -> dict[str, Any]:
    """Hold as much more or less as the amounts differ; with an `offer`, what is more only if there is room for it."""
    more = {name: getattr(after, name) - getattr(before, name) for name in _AMOUNTS}
    room = {}
    if offer is not None:
        report = offer.report
        room = {
            f":room_{name}": (getattr(report, name) if report else 0) - amount
            for name, amount in more.items()
            if amount > 0
        }
    fits = [f"reserved_{name.removeprefix(':room_')} <= {name}" for name in room]
    return Row(table, {"host_id": host_id}).update(
        "ADD " + ", ".join(f"reserved_{name} :{name}" for name in more),
        " AND ".join(["attribute_exists(host_id)", *fits]),
        {**{f":{name}": amount for name, amount in more.items()}, **room},
    )


def free(table: str, container: Container, host_id: str) -> dict[str, Any]:
    """Free the room it held."""
    less = ", ".join(f"reserved_{name} :{name}" for name in _AMOUNTS)
    return Row(table, {"host_id": host_id}).update(
        f"ADD {less}, reserved_containers :one",
        "attribute_exists(host_id)",
        {**{f":{name}": -getattr(container.resources, name) for name in _AMOUNTS}, ":one": -1},
    )
