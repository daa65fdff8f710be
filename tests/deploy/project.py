"""A copy of what Chalice deploys, its caches and state apart: a folder comes in, its commands go out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.aws import REGION, ROOT

DEPLOYED = ("app.py", "chalicelib", ".chalice", "requirements.txt")
NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Project:
    """A copy of the project to run Chalice in."""

    path: Path

    @classmethod
    def copy_to(cls, path: Path) -> "Project":
        for name in DEPLOYED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
                shutil.copytree(source, path / name, ignore=ignored)
            else:
                path.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, path / name)
        return cls(path)

    def chalice(self, *arguments: str, program: str = "chalice.cli", environment: Mapping[str, str] = {}) -> str:
        """Run a command of Chalice; its output, or an AssertionError with it."""
        command = [sys.executable, "-c", f"from {program} import main; raise SystemExit(main())", *arguments]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        done = subprocess.run(
            command,
            cwd=self.path,
            env=clean | NO_ACCOUNT | {"PYTHONPATH": str(ROOT)} | dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
