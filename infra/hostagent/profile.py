"""The hardening profile: a spec comes in, the only arguments ever given to the engine go out (reliability §4.3).

User input reaches the engine through the typed, clamped spec alone: image, name, limits, environment and labels.
Everything else here is fixed, but for the container's own files that the agent binds over the engine's.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode, Resources
from infra.hostagent.seccomp import seccomp_option

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
LABEL_BLANK = "berth.blank"
"""Of a container that was made ahead: labels cannot be changed, so its name alone says whose it is."""

_BLANK = "warm-"

READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup")
"""The engine's own list and one more. With remapped users the engine leaves control groups writable, and of version 2
root inside is given the container's own: it could make groups without end there."""

_NAME = re.compile(r"berth-([A-Za-z0-9][A-Za-z0-9_.-]{0,63})-([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Profile:
    """Arguments of one engine container."""

    name: str
    container: dict[str, Any]
    host_config: dict[str, Any]
    network: str | None
    """Name of the network to join; None = no network at all."""
    card: str
    """The hardware address it has there: no other container ever has the same."""
    holder: str | None = None
    """Engine id of a container that is on that network and whose namespace is shared."""


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


def named(name: str) -> tuple[str, int] | None:
    """The container id and generation that an engine name says."""
    found = _NAME.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def blank_id(token: str) -> str:
    """What takes the place of a container id while a container is nobody's; real ids are UUIDs."""
    return f"{_BLANK}{token}"


def is_blank(container_id: str) -> bool:
    """Whether it is such a one."""
    return container_id.startswith(_BLANK)


def hostname_of(spec: ContainerSpec) -> str:
    """The name a container has inside; longer ones Linux does not take."""
    return spec.name[:63]


def networked(spec: ContainerSpec) -> bool:
    """Whether the container may have a network, and ask for names."""
    return spec.network_mode is not NetworkMode.NONE


def card_of(name: str) -> str:
    """A hardware address that is administered locally and like no other container's."""
    return ":".join(f"{each:02x}" for each in (2, *hashlib.sha256(name.encode()).digest()[:5]))


def profile_of(
    spec: ContainerSpec,
    host_id: str,
    network: str | None,
    cores: int,
    bound: Sequence[Bound] = (),
    image: str | None = None,
) -> Profile:
    """The arguments for this spec on a host with that many cores (an engine grants no more than there are).

    `image` is what it is made from when that is not the image asked for, but one prepared from it.
    """
    name = engine_name(spec.container_id, spec.generation)
    return Profile(
        name=name,
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
        host_config=_limits(limits_of(spec.resources, cores)) | _walls() | _mounts(bound) | _runtime(spec),
        network=network if networked(spec) else None,
        card=card_of(name),
    )


def sharing(profile: Profile, holder: str | None) -> Profile:
    """The profile of a container in that one's network namespace; the engine takes no hostname for it."""
    if holder is None:
        return profile
    container = {name: value for name, value in profile.container.items() if name != "hostname"}
    return replace(profile, container=container, holder=holder)


def resolved_by(profile: Profile, resolver: str | None) -> Profile:
    """The same, where the engine's own resolver asks this one for the container; a shared namespace has its own."""
    if resolver is None or profile.network is None or profile.holder is not None:
        return profile
    return replace(profile, host_config=profile.host_config | {"dns": [resolver]})


def _own_labels(spec: ContainerSpec, host_id: str) -> dict[str, str]:
    digest = hashlib.sha256(
        spec.model_dump_json(exclude={"create_seconds", "expires_in_seconds", "number", "disk_limited"}).encode()
    )
    return {
        LABEL: "true",
        LABEL_CONTAINER: spec.container_id,
        LABEL_GENERATION: str(spec.generation),
        LABEL_HOST: host_id,
        LABEL_USER: spec.user_id,
        LABEL_SPEC: digest.hexdigest()[:16],
        LABEL_BLANK: "",
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
        "security_opt": ["no-new-privileges:true", seccomp_option()],
        "privileged": False,
        "init": True,
        "ipc_mode": "private",
        "restart_policy": {"Name": "no"},
        "publish_all_ports": False,
        "readonly_paths": list(READ_ONLY),
    }


def _mounts(bound: Sequence[Bound]) -> dict[str, Any]:
    mounts = [{"Type": "bind", "Source": each.source, "Target": each.target, "ReadOnly": True} for each in bound]
    return {"mounts": mounts} if mounts else {}


def _runtime(spec: ContainerSpec) -> dict[str, Any]:
    return {"runtime": spec.runtime} if spec.runtime else {}
