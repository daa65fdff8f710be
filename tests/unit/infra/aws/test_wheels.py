"""A lock's wheels: only what its hashes vouch for, and afterwards pip knows no other source."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.aws.errors import DeployError
from infra.aws.wheels import locked_wheels, only_from


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one package in the place of a package index."""
    folder = tmp_path / "index of packages"
    folder.mkdir()
    with zipfile.ZipFile(folder / "parcel-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("parcel.py", "")
        wheel.writestr("parcel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n")
        wheel.writestr("parcel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("parcel-1.0.dist-info/RECORD", "")
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    return folder


def lock_of(folder: Path, digest: str) -> Path:
    lock = folder / "requirements.txt"
    lock.write_text(f"parcel==1.0 \\\n    --hash=sha256:{digest}\n")
    return lock


def test_wheels_that_the_lock_vouches_for_are_taken_once(index: Path, tmp_path: Path) -> None:
    [wheel] = index.iterdir()
    lock = lock_of(tmp_path, hashlib.sha256(wheel.read_bytes()).hexdigest())

    folder = locked_wheels(lock, tmp_path / "cache")
    wheel.unlink()

    assert locked_wheels(lock, tmp_path / "cache") == folder
    assert [each.name for each in folder.glob("*.whl")] == [wheel.name]


def test_another_file_under_the_same_name_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="HASHES"):
        locked_wheels(lock_of(tmp_path, "0" * 64), tmp_path / "cache")


def test_pip_gets_nothing_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in only_from(tmp_path).items():
        monkeypatch.setenv(name, value)

    command = [sys.executable, "-m", "pip", "download", "--dest", str(tmp_path), "httpx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "No matching distribution found for httpx" in done.stderr
