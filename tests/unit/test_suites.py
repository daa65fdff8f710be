"""No suite is forgotten: every folder of tests is run by `make test` and by a plain `pytest`, or has its own target."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_make_test_and_pytest_run_every_folder_that_has_tests() -> None:
    folders = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/**/test_*.py")}
    makefile = (ROOT / "Makefile").read_text()
    lines = dict(re.findall(r"^(QUICK|WHOLE|APART) := (.*)$", makefile, re.MULTILINE))
    made = {name: set(line.split()) for name, line in lines.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert made["QUICK"] | made["WHOLE"] | made["APART"] == folders
    assert set(project["tool"]["pytest"]["ini_options"]["testpaths"]) == folders - made["APART"]
    assert made["APART"] == {"tests/fleet"}
    assert "--timeout 1800 $(APART)" in makefile
