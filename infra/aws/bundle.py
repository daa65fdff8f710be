"""Bundles for machines: our sources and a lock come in, an archive with all that a host or a relay runs goes out.

Everything of ours and all packages are in it, so that a new machine asks no package index.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "3.11"
PLATFORM = "manylinux2014_x86_64"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive and the hash that machines check it by."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def key(self) -> str:
        """What it is called in a bucket: another content has another name, so new machines are made for it."""
        return f"berth-{self.name}-{self.sha256[:16]}.tar.gz"

    def parameters(self, bucket: str) -> dict[str, str]:
        """What a template asks of it."""
        return {"BundleBucket": bucket, "BundleKey": self.key, "BundleSha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a bundle."""

    name: str
    lock: Path
    ours: tuple[str, ...]
    """Files and folders of this repository."""

    def build(self) -> Bundle:
        """Our sources, and the packages of the lock for Debian 12's Python."""
        with tempfile.TemporaryDirectory() as folder:
            packages = Path(folder)
            _install(self.lock, packages)
            entries = [*_files(PROJECT, self.ours, Path()), *_files(packages, ("",), Path("packages"))]
            return Bundle(self.name, _archive(entries))


AGENT = Contents(
    "agent",
    PROJECT / "infra/hostagent/requirements.txt",
    (
        "chalicelib/__init__.py",
        "chalicelib/contract",
        "docs/hosts.md",
        "infra/__init__.py",
        "infra/aws/__init__.py",
        "infra/aws/hosts",
        "infra/hostagent",
        "infra/images",
    ),
)

RELAY = Contents(
    "relay",
    PROJECT / "infra/relay/requirements.txt",
    ("chalicelib/__init__.py", "chalicelib/contract", "infra/__init__.py", "infra/aws/relays", "infra/relay"),
)


def _install(lock: Path, target: Path) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
        "--target", str(target), "--platform", PLATFORM, "--python-version", PYTHON, "--implementation", "cp",
        "--only-binary=:all:", "--require-hashes", "--no-deps", "-r", str(lock),
    ]  # fmt: skip
    subprocess.run(command, check=True)


def _files(root: Path, names: tuple[str, ...], below: Path) -> Iterator[tuple[str, Path]]:
    for name in names:
        start = root / name
        found = sorted(start.rglob("*")) if start.is_dir() else [start]
        for path in found:
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(below / path.relative_to(root)), path


def _archive(entries: list[tuple[str, Path]]) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in entries:
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return out.getvalue()
