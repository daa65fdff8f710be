"""Programs that judge templates, in an environment of their own: a template comes in, what they say of it goes out."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from tests.aws import REGION
from tests.engines import DATA

LOCK = Path(__file__).parent / "requirements-audit.txt"

_TRANSFORM = """
import json, sys
from samtranslator.translator.transform import transform

class NoManagedPolicies:
    def load(self):
        return {}

template = json.load(sys.stdin)
for resource in template["Resources"].values():
    for name in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
        resource["Properties"][name] = "s3://bucket/code.zip"
json.dump(transform(template, {}, NoManagedPolicies(), feature_toggle=None), sys.stdout)
"""


def audit_environment() -> Path:
    """The programs' environment, made when it is not there or its lock has changed."""
    home = DATA / "audit"
    stamp = home / "lock.sha256"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    install = [home / "bin/pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", LOCK]
    subprocess.run(install, check=True, timeout=280)
    stamp.write_text(wanted)
    return home


def transformed(home: Path, template: dict[str, Any]) -> dict[str, Any]:
    """The template without SAM, as CloudFormation would make it."""
    environment = {**os.environ, "AWS_DEFAULT_REGION": REGION}
    done = subprocess.run(
        [home / "bin/python", "-c", _TRANSFORM],
        input=json.dumps(template),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plain: dict[str, Any] = json.loads(done.stdout)
    return plain


def security_findings(home: Path, template: Path) -> set[tuple[str, str]]:
    """What checkov objects to: its rule, and the resource."""
    command = [
        home / "bin/checkov", "-f", template, "--framework", "cloudformation", "--compact", "--quiet",
        "--skip-download", "-o", "json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return {(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]}


def lint_findings(template: Path) -> str:
    """What cfn-lint objects to; nothing when it is content."""
    command = [Path(sys.executable).with_name("cfn-lint"), "-r", REGION, "-t", template]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
