"""Builders: what matters to a test comes in, a whole value with sensible rest goes out."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.contract.agent_api import ContainerSpec, HostReport
from chalicelib.contract.causes import Actor, Cause, Code
from chalicelib.contract.resources import Resources, Shell
from chalicelib.domain.connection import Connection
from chalicelib.domain.container import Container
from chalicelib.domain.host import Host
from chalicelib.domain.identity import Caller, Scope, Token
from chalicelib.ports import Rate

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
PLENTY = Rate(per_minute=100_000, per_second=100_000)
USER = "user-1"
_NUMBERS = itertools.count(1)


def a_container(**changes: Any) -> Container:
    number = next(_NUMBERS)
    values: dict[str, Any] = {
        "id": str(uuid.UUID(int=number)),
        "user_id": USER,
        "tier": "free",
        "name": f"name-{number}",
        "image": "debian:bookworm",
        "image_reference": "debian:bookworm",
        "resources": Resources(memory_mb=512, cpu_shares=500, disk_mb=1024),
        "created_at": NOW,
        "last_used_at": NOW,
        "deadline": NOW + timedelta(seconds=170),
        "due_at": NOW + timedelta(seconds=5),
    }
    return Container(**(values | changes))


def a_report(**changes: Any) -> HostReport:
    values: dict[str, Any] = {
        "endpoint": "http://127.0.0.1:7070",
        "memory_mb": 16_000,
        "cpu_shares": 16_000,
        "disk_mb": 100_000,
        "disk_limited": True,
        "max_containers": 100,
        "engine_version": "29.5.1",
        "kernel_version": "6.1",
        "agent_version": "0.1.0",
        "development": False,
    }
    return HostReport(**(values | changes))


def a_host(host_id: str = "host-1", **changes: Any) -> Host:
    values: dict[str, Any] = {"public_key": "key", "report": a_report(), "received_at": NOW}
    return Host(id=host_id, **(values | changes))


def a_token(**changes: Any) -> Token:
    number = next(_NUMBERS)
    values: dict[str, Any] = {
        "hash": f"{number:064x}",
        "id": str(uuid.UUID(int=number)),
        "user_id": USER,
        "tier": "free",
        "scopes": (Scope.READ, Scope.WRITE),
        "name": "a token",
        "prefix": "berth_abcdef",
        "created_at": NOW + timedelta(seconds=number),
        "expires_at": NOW + timedelta(days=90),
    }
    return Token(**(values | changes))


def a_caller(**changes: Any) -> Caller:
    values: dict[str, Any] = {
        "user_id": USER,
        "tier": "free",
        "scopes": (Scope.READ, Scope.WRITE),
        "token_hash": "hash",
    }
    return Caller(**(values | changes))


def a_connection(connection_id: str | None = None, **changes: Any) -> Connection:
    values: dict[str, Any] = {
        "id": connection_id or f"connection-{next(_NUMBERS)}=",
        "user_id": USER,
        "tier": "free",
        "token_hash": "hash",
        "connected_at": NOW,
        "expires_at": NOW + timedelta(hours=2),
    }
    return Connection(**(values | changes))


def a_spec(**changes: Any) -> ContainerSpec:
    values: dict[str, Any] = {
        "container_id": str(uuid.uuid4()),
        "user_id": USER,
        "generation": 1,
        "name": "web",
        "image": "debian:bookworm",
        "resources": Resources(memory_mb=128, cpu_shares=500, disk_mb=1024),
        "shell": Shell(enhanced=False),
        "create_seconds": 60.0,
    }
    return ContainerSpec(**(values | changes))


def a_cause(code: Code = Code.USER) -> Cause:
    return Cause(code=code, actor=Actor.USER, message="because")


def about(container: Container, number: int = 0, **fields: Any) -> dict[str, Any]:
    """The members every event about this container has."""
    return {
        "container_id": container.id,
        "user_id": container.user_id,
        "generation": container.generation,
        "number": number,
        "at": NOW,
        **fields,
    }
