"""A disk with Debian 12 on it, as a machine image of the cloud has: packages come in, all that a machine boots with
goes out. It is made once and kept.

Beyond what such an image has, there is an engine (the distribution's own), a key for the test's commands, and a way to
AWS for the command-line tool.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.ground.debian import bootstrap
from infra.ground.packages import Say, ensure_programs, find

PACKAGES = (
    "apparmor", "ca-certificates", "containerd", "curl", "dbus", "docker.io", "iproute2", "iptables", "kmod",
    "linux-image-amd64", "openssh-server", "procps", "python3", "systemd", "systemd-sysv", "udev",
)  # fmt: skip
OF_THE_SCRIPTS = ("awscli", "crun", "nftables", "xfsprogs")
"""What user data and start script ask for: emulated, it would take them four minutes to install."""

DISK_SIZE = "6G"
MACHINE_MAC = "52:54:00:00:00:01"
METADATA_MAC = "52:54:00:00:00:02"
NAME_SERVER = "10.0.2.3"

_FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 1\n",
    "etc/hostname": "berth-host\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 berth-host\n",
    "etc/resolv.conf": f"nameserver {NAME_SERVER}\n",
    "etc/systemd/network/10-machine.network": f"[Match]\nMACAddress={MACHINE_MAC}\n[Network]\nDHCP=ipv4\n",
    "etc/systemd/network/20-metadata.network": (
        f"[Match]\nMACAddress={METADATA_MAC}\n[Network]\nAddress=169.254.169.15/24\nLinkLocalAddressing=no\n"
    ),
    # that of Debian 12 knows no AWS_ENDPOINT_URL yet, and none for a service
    "usr/local/bin/aws": (
        "#!/bin/sh\n"
        'case " $* " in *" autoscaling "*) way=$AWS_ENDPOINT_URL_AUTO_SCALING ;; *) way=$AWS_ENDPOINT_URL ;; esac\n'
        'exec /usr/bin/aws --endpoint-url "$way" "$@"\n'
    ),
}
_ENABLED = ("systemd-networkd.service", "ssh.service")
_LATER = ("docker.service", "docker.socket", "containerd.service")
"""Not before the start script has had its say, as nothing of it is on a cloud's image."""


@dataclass(frozen=True, slots=True)
class Debian:
    """Files that a machine boots with, none of which it changes, and the key that its root knows."""

    disk: Path
    kernel: Path
    initrd: Path
    key: Path


def debian_in(cache: Path, say: Say) -> Debian:
    """The disk as this module describes it, made now if need be: two minutes, as root, and 2 GB. NoImage."""
    recipe = repr((PACKAGES, OF_THE_SCRIPTS, DISK_SIZE, _FILES, _ENABLED, _LATER))
    folder = cache / f"fleet-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not folder.exists():
        ensure_programs(["debootstrap", "mke2fs", "ssh-keygen"], say)
        say("making a disk with Debian 12 (about two minutes)")
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _make(made, Path(scratch) / "root", cache / "fleet.log", _in_tenths(say))
            made.rename(folder)
    return Debian(*(folder / name for name in ("disk", "kernel", "initrd", "key")))


def _make(made: Path, root: Path, log: Path, advance: Callable[[float], None]) -> None:
    bootstrap(root, log, advance, PACKAGES)
    _install(root)
    for name, content in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).unlink(missing_ok=True)
        (root / name).write_text(content)
    (root / "usr/local/bin/aws").chmod(0o755)
    _units(root)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made / "key"))
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(made / "key.pub", root / "root/.ssh/authorized_keys")
    for name, pattern in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*-amd64")):
        [found] = (root / "boot").glob(pattern)
        shutil.copy(found, made / name)
    _run(find("mke2fs") or "mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made / "disk"), DISK_SIZE)


def _install(root: Path) -> None:
    """By apt, which puts all of it into an order that debootstrap does not find."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    install = f"DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends {' '.join(OF_THE_SCRIPTS)}"
    inside = f"mount -t proc proc {root}/proc && chroot {root} sh -c '{install}'"
    _run("unshare", "--mount", "--pid", "--fork", "sh", "-c", inside)


def _units(root: Path) -> None:
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    for unit in _LATER:
        for link in (root / "etc/systemd/system").glob(f"*.wants/{unit}"):
            link.unlink()
    for unit in _ENABLED:
        (wanted / unit).unlink(missing_ok=True)
        (wanted / unit).symlink_to(f"/lib/systemd/system/{unit}")


def _in_tenths(say: Say) -> Callable[[float], None]:
    told = 0

    def advance(share: float) -> None:
        nonlocal told
        if int(share * 10) > told:
            told = int(share * 10)
            say(f"  {told * 10} %")

    return advance


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
