"""No suite is forgotten: every folder of tests is run by `make test` and by a plain `pytest`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_make_test_and_pytest_run_every_folder_that_has_tests() -> None:
    folders = {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/**/test_*.py")}
    makefile = (ROOT / "Makefile").read_text()
    lines = re.findall(r"^(?:QUICK|WHOLE) := (.*)$", makefile, re.MULTILINE)
    made = {suite for line in lines for suite in line.split()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert made == folders
    assert set(project["tool"]["pytest"]["ini_options"]["testpaths"]) == folders
