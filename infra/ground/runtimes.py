"""Runtimes beside the engine's own: what the machine has or can have comes in, the engine's setting goes out."""

from pathlib import Path
from typing import Any

from infra.ground.errors import PackagesMissing
from infra.ground.mounts import HeldMounts
from infra.ground.packages import Say, ensure_programs, find

_HYBRID = Path("/sys/fs/cgroup/unified")
_GVISOR = ["--platform=ptrace", "--network=host", "--ignore-cgroups"]
"""What gVisor of a distribution needs on a machine without its platforms: a trial, no wall to rely on."""


def runtimes(mounts: HeldMounts, say: Say) -> dict[str, Any]:
    """crun, and gVisor where somebody has installed it."""
    found: dict[str, Any] = {}
    try:
        ensure_programs(["crun"], say)
        _hide_second_hierarchy(mounts)
        found["crun"] = {"path": find("crun")}
    except PackagesMissing as error:
        say(f"no runtime crun: {error}")
    if gvisor := find("runsc"):
        found["runsc"] = {"path": gvisor, "runtimeArgs": _GVISOR}
    return found


def _hide_second_hierarchy(mounts: HeldMounts) -> None:
    """crun refuses a machine that has control groups of both versions: the engine sees those of the first alone."""
    if _HYBRID.is_mount():
        mounts.unmount(_HYBRID)
