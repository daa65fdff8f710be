"""What is judged: the packaged application with its template, once per run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.aws import ROOT, Aws, moto_server
from tests.deploy.audit import audit_environment, transformed
from tests.deploy.project import Project


@dataclass(frozen=True)
class Package:
    """What `chalice package` made of stage prod with the merge template."""

    folder: Path
    template: dict[str, Any]
    plain: dict[str, Any]
    """The template without SAM."""

    @property
    def plain_file(self) -> Path:
        return self.folder / "plain.json"

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of every resource of a type, by name."""
        found = self.plain["Resources"].items()
        return {name: each["Properties"] for name, each in found if each["Type"] == kind}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An account with nothing in it, for one file of tests."""
    with moto_server(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server


@pytest.fixture(scope="session")
def audit() -> Path:
    return audit_environment()


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, audit: Path) -> Package:
    folder = tmp_path_factory.mktemp("package")
    project = Project.copy_to(folder / "project")
    merge = str(ROOT / "infra/aws/merge.json")
    project.chalice("package", "--stage", "prod", "--merge-template", merge, str(folder / "out"))
    template = json.loads((folder / "out/sam.json").read_text())
    made = Package(folder / "out", template, transformed(audit, template))
    made.plain_file.write_text(json.dumps(made.plain))
    return made
