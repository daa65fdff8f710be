"""The hardening profile: a spec comes in, the only arguments ever given to the engine go out (reliability §4.3).

User input reaches the engine through the typed, clamped spec alone: image, name, limits, environment and labels.
Everything else here is fixed, but for the container's own files that the agent binds over the engine's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode, Resources

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""All that is added back after dropping every capability."""

PIDS = 256
OPEN_FILES = (1024, 4096)
LOG_SIZE, LOG_FILES = "10m", "3"
PAYLOAD = ["sleep", "2147483647"]
"""What the container runs under init; people's programs come later, by exec. Every base image has `sleep`."""

LABEL = "berth.managed"
LABEL_CONTAINER = "berth.container"
LABEL_GENERATION = "berth.generation"
LABEL_HOST = "berth.host"
LABEL_USER = "berth.user"
LABEL_SPEC = "berth.spec"


@dataclass(frozen=True, slots=True)
class Profile:
    """Arguments of one engine container."""

    name: str
    container: dict[str, Any]
    host_config: dict[str, Any]
    network: str | None
    """Name of the network to join; None = no network at all."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A file of the host that takes the place of one inside, read-only."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be changed of a container while it runs."""

    memory: int
    """Bytes; there is no swap beyond it."""
    nano_cpus: int


def limits_of(resources: Resources, cores: int) -> Limits:
    """The engine's numbers for these amounts; an engine grants no more CPU than there is."""
    return Limits(
        memory=resources.memory_mb * 1024 * 1024,
        nano_cpus=min(resources.cpu_shares, cores * 1000) * 1_000_000,
    )


def engine_name(container_id: str, generation: int) -> str:
    """The name that makes a creation safe to repeat (M4)."""
    return f"berth-{container_id}-{generation}"


def hostname_of(spec: ContainerSpec) -> str:
    """The name a container has inside; longer ones Linux does not take."""
    return spec.name[:63]


def networked(spec: ContainerSpec) -> bool:
    """Whether the container has a network at all."""
    return spec.network_mode is NetworkMode.DEFAULT


def profile_of(
    spec: ContainerSpec, host_id: str, network: str, cores: int, bound: Sequence[Bound] = (), image: str | None = None
) -> Profile:
    """The arguments for this spec on a host with that many cores (an engine grants no more than there are).

    `image` is what it is made from when that is not the image asked for, but one prepared from it.
    """
    return Profile(
        name=engine_name(spec.container_id, spec.generation),
        container={
            "image": image or spec.image,
            "entrypoint": PAYLOAD[:1],
            "command": PAYLOAD[1:],
            "hostname": hostname_of(spec),
            "user": "0",
            "working_dir": "/",
            "healthcheck": {"Test": ["NONE"]},
            "stop_signal": "SIGTERM",
            "environment": spec.environment,
            "labels": {**spec.labels, **_own_labels(spec, host_id)},
            "tty": False,
            "stdin_open": False,
        },
        host_config=_limits(limits_of(spec.resources, cores)) | _walls() | _mounts(bound),
        network=network if networked(spec) else None,
    )


def _own_labels(spec: ContainerSpec, host_id: str) -> dict[str, str]:
    digest = hashlib.sha256(spec.model_dump_json(exclude={"create_seconds", "expires_in_seconds", "number"}).encode())
    return {
        LABEL: "true",
        LABEL_CONTAINER: spec.container_id,
        LABEL_GENERATION: str(spec.generation),
        LABEL_HOST: host_id,
        LABEL_USER: spec.user_id,
        LABEL_SPEC: digest.hexdigest()[:16],
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "nano_cpus": limits.nano_cpus,
        "pids_limit": PIDS,
        "ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES[0], "Hard": OPEN_FILES[1]},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "log_config": {"Type": "json-file", "Config": {"max-size": LOG_SIZE, "max-file": LOG_FILES}},
    }


def _walls() -> dict[str, Any]:
    return {
        "cap_drop": ["ALL"],
        "cap_add": list(CAPABILITIES),
        "security_opt": ["no-new-privileges:true"],
        "privileged": False,
        "init": True,
        "ipc_mode": "private",
        "restart_policy": {"Name": "no"},
        "publish_all_ports": False,
    }


def _mounts(bound: Sequence[Bound]) -> dict[str, Any]:
    mounts = [{"Type": "bind", "Source": each.source, "Target": each.target, "ReadOnly": True} for each in bound]
    return {"mounts": mounts} if mounts else {}
