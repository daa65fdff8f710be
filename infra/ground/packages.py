"""Programs that must be there: names come in, packages are installed or an error says which."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from infra.ground.errors import PackagesMissing

Say = Callable[[str], None]
"""Tells a person one line."""

PACKAGE_OF = {
    "dockerd": "docker.io",
    "docker-registry": "docker-registry",
    "debootstrap": "debootstrap",
    "busybox": "busybox-static",
    "iptables": "iptables",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "crun": "crun",
    "mkfs.btrfs": "btrfs-progs",
    "mke2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def ensure_programs(programs: Sequence[str], say: Say) -> None:
    """Have all programs on the path, or PackagesMissing."""
    missing = sorted({PACKAGE_OF[each] for each in programs if find(each) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PackagesMissing(f"missing programs: install the packages {' '.join(missing)} and run this again")
    say(f"installing {', '.join(missing)} from the distribution")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        _apt(command, environment)


def find(program: str) -> str | None:
    """Where the program is, looking in the administrator's folders too."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def _apt(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PackagesMissing(f"apt-get {command[0]} failed: {reason}")
