"""Bills of materials: a lock comes in, CycloneDX JSON of what is shipped goes out, always the same text."""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from infra.supply.locks import AGENT, FUNCTIONS, RELAY

PROGRAM = str(Path(sys.executable).with_name("cyclonedx-py"))
PROJECT_FILE = Path(__file__).resolve().parents[2] / "pyproject.toml"


def write_boms(folder: Path) -> list[Path]:
    """One for the functions' archives, one for each bundle."""
    # Chalice puts itself into the archive, from the environment that it runs in
    chalice = f"chalice=={version('chalice')}\n"
    return [
        _write(FUNCTIONS.read_text() + chalice, folder / "functions.cdx.json"),
        _write(AGENT.read_text(), folder / "agent.cdx.json"),
        _write(RELAY.read_text(), folder / "relay.cdx.json"),
    ]


def _write(requirements: str, target: Path) -> Path:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as asked:
        asked.write(requirements)
        asked.flush()
        options = ["--pyproject", str(PROJECT_FILE), "--output-reproducible", "--spec-version", "1.6", "--of", "JSON"]
        # it warns that a flat list shows no dependencies between packages: locks are flat
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore::UserWarning"}
        subprocess.run([PROGRAM, "requirements", asked.name, *options, "-o", str(target)], env=quiet, check=True)
    return target
