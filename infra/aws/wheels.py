"""Wheels for the archives: a lock comes in, a folder of wheels that its hashes vouch for goes out.

Chalice asks pip for some packages a second time, by name and without hashes. With this folder as pip's only source it
cannot be given anything that is not in the lock.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from infra.aws.errors import DeployError

CACHE = Path(__file__).resolve().parents[2] / ".berth/wheels"
LAMBDA = ("--platform", "manylinux2014_x86_64", "--implementation", "cp")
_HERE: tuple[str, ...] = ()
_COMPLETE = ".complete"


def locked_wheels(lock: Path, cache: Path = CACHE) -> Path:
    """The folder, filled at the first time: wheels for Lambda, and for the machine that Chalice runs on."""
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not (folder / _COMPLETE).exists():
        for platform in (_HERE, LAMBDA):
            _download(lock, folder, platform)
        (folder / _COMPLETE).touch()
    return folder


def only_from(folder: Path) -> dict[str, str]:
    """The environment in which pip takes packages from this folder and from nowhere else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder.resolve().as_uri()}


def _download(lock: Path, folder: Path, platform: tuple[str, ...]) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes",
        "--no-deps", "--only-binary=:all:", *platform, "--dest", str(folder), "-r", str(lock),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"no wheels for {lock.name}:\n{done.stderr}")
