"""LocalStack's own Python environment: the lock file comes in, an environment that has just that goes out."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from infra.ground.packages import Say
from infra.localstack.errors import CannotStart

LOCK = Path(__file__).with_name("requirements.txt")
_STAMP = ".locked"


def ensure_environment(folder: Path, say: Say) -> Path:
    """The environment's Python; made anew when the lock has changed. CannotStart with the reason."""
    if sys.version_info[:2] != (3, 11):
        raise CannotStart(f"LocalStack 4.13 is locked for Python 3.11, and this is {sys.version.split()[0]}")
    python, stamp = folder / "bin/python", folder / _STAMP
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"making LocalStack's Python environment in {folder} (a minute, 500 MB)")
    venv.create(folder, clear=True, with_pip=True, symlinks=True)
    install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK)]
    done = subprocess.run([str(python), *install], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"LocalStack could not be installed: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text(wanted)
    return python
