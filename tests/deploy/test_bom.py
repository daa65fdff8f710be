"""The bills of materials: valid, the same every time, and true of what is shipped."""

import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.aws.bundle import AGENT, RELAY, Contents
from infra.supply.sbom import write_boms
from tests.deploy.conftest import Package


@pytest.fixture(scope="module")
def boms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {path.name: path.read_text() for path in write_boms(tmp_path_factory.mktemp("boms"))}


def named(bom: str) -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in json.loads(bom)["components"]}


def shipped(names: list[str]) -> set[tuple[str, str]]:
    """Packages by the folders of their metadata."""
    found = (re.search(r"([^/]+)-([^-/]+)\.dist-info/METADATA$", name) for name in names)
    return {(each[1].replace("_", "-").lower(), each[2]) for each in found if each}


def test_they_are_valid_and_the_same_every_time(boms: dict[str, str], tmp_path: Path) -> None:
    for text in boms.values():
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {path.name: path.read_text() for path in write_boms(tmp_path)} == boms


def test_the_functions_bill_is_what_their_archives_hold(boms: dict[str, str], package: Package) -> None:
    with zipfile.ZipFile(package.folder / "layer-deployment.zip") as layer:
        inside = shipped(layer.namelist())

    listed = named(boms["functions.cdx.json"])
    assert inside
    assert {each for each in listed if each[0] != "chalice"} == inside
    assert "chalice" in {name for name, _version in listed}


@pytest.mark.parametrize("contents", [AGENT, RELAY], ids=lambda each: str(each.name))
def test_a_bundles_bill_is_what_it_holds_and_the_bundle_is_the_same_every_time(
    boms: dict[str, str], contents: Contents
) -> None:
    first, second = contents.build(), contents.build()

    assert first.sha256 == second.sha256
    with tarfile.open(fileobj=io.BytesIO(first.content)) as archive:
        assert shipped(archive.getnames()) == named(boms[f"{contents.name}.cdx.json"])
