"""Bundles as machines have them: what is in one and a program of ours come in, a folder and its command go out."""

import io
import sys
import tarfile
from pathlib import Path

from infra.aws.bundle import Contents

_RUN = """
import runpy, sys
sys.path[:0] = sys.argv[1:3]
sys.argv[:4] = [sys.argv[3]]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def unpacked_to(folder: Path, contents: Contents) -> Path:
    """The folder, with all of the bundle in it."""
    with tarfile.open(fileobj=io.BytesIO(contents.build().content)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def program_of(unpacked: Path, module: str) -> list[str]:
    """The command of a module of ours, with what is in the bundle and Python's own library, and nothing else."""
    return [sys.executable, "-I", "-S", "-B", "-c", _RUN, str(unpacked / "packages"), str(unpacked), module]
