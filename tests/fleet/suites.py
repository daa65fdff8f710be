"""The project's own suites on an emulated machine: its files and its Python environment come in as a disk, how the
suites ended goes out.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.ground.packages import Say, ensure_programs, find
from tests.aws import ROOT
from tests.fleet.machine import Done, Machine
from tests.pace import VARIABLE

DISK_SIZE = "3G"
HOME = "/berth"
DISK = "/dev/vdc"
"""The third, as the machine calls it."""
_ENVIRONMENT = {"BERTH_TEST_ENGINE": "answering", VARIABLE: "8"}
_PYTHON = "/usr/bin/python3"
"""Debian 12's, which is 3.11 as the tests' own: what is compiled for one is for the other."""


def disk_of_suites(folder: Path, say: Say) -> Path:
    """A disk with this tree, but for what git ignores, and with what is installed here; a third of a minute."""
    ensure_programs(["git", "mke2fs"], say)
    disk = folder / "suites"
    with TemporaryDirectory(dir=folder) as scratch:
        _copy_files(Path(scratch))
        _copy_environment(Path(scratch) / ".venv")
        _run(find("mke2fs") or "mke2fs", "-q", "-t", "ext4", "-d", scratch, str(disk), DISK_SIZE)
    return disk


def run_suites(machine: Machine, say: Say, seconds: float, *arguments: str) -> Done:
    """Have pytest run there with these arguments; its lines are said as they come."""
    machine.ask(f"mkdir -p {HOME} && (mountpoint -q {HOME} || mount {DISK} {HOME})")
    settings = " ".join(f"{name}={value}" for name, value in _ENVIRONMENT.items())
    suites = f"cd {HOME} && {settings} .venv/bin/python -u -m pytest {' '.join(arguments)}"
    return machine.follow(suites, say, seconds)


def _copy_files(target: Path) -> None:
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _copy_environment(target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    (target / "bin/python").symlink_to(_PYTHON)
    (target / "pyvenv.cfg").write_text(f"home = {os.path.dirname(_PYTHON)}\ninclude-system-site-packages = false\n")
    shutil.copytree(sysconfig.get_path("purelib"), target / "lib/python3.11/site-packages", symlinks=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
